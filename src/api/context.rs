//! The engine and the limits that every RPC uses. Never knows an RPC.

use tonic::Status;

use super::{StallWatch, fields, status, token};
use crate::config::Limits;
use crate::engine::Engine;

/// Shared by all services. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ServiceContext {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) stall_watch: StallWatch,
}

impl ServiceContext {
    /// Waits until this server has reached the cursor `at_least` of the field `field`; an empty one
    /// asks for no wait. Gives the cursor that a read from now on is no older than.
    pub(super) async fn reached(&self, field: &str, at_least: &str) -> Result<String, Status> {
        let at_least = fields::optional_cursor(field, at_least)?;
        let reached = self.engine.reached(at_least, self.limits.call_time_max).await;
        reached.map_err(status::from_query)?;
        Ok(token::encode_cursor(&self.engine.cursor()))
    }
}
