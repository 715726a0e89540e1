//! What every RPC's file needs to answer.

use tonic::Status;

use super::{StallWatch, fields, status, token};
use crate::config::Limits;
use crate::engine::Engine;

/// What answers, and within which limits. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    /// Who watches for readers that accept nothing.
    pub(super) stall_watch: StallWatch,
}

impl Calls {
    /// Waits until this server has what a read is to show at least, if its `field` says so. Gives
    /// a position that the read is no older than.
    pub(super) async fn reached(&self, field: &str, at_least: &str) -> Result<String, Status> {
        let at_least = fields::optional_cursor(field, at_least)?;
        let reached = self.engine.reached(at_least, self.limits.call_time_max).await;
        reached.map_err(status::of_engine)?;
        Ok(token::encode_cursor(&self.engine.cursor()))
    }
}
