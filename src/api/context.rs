//! The engine and the limits that every RPC uses. Never knows an RPC.

use tonic::Status;

use super::{ApiMetrics, Quotas, Scraper, fields, status, token};
use crate::auth::Auth;
use crate::config::Limits;
use crate::engine::Engine;
use crate::model::{CursorError, Epoch, Epochs, LogId, Revision};

/// Shared by all services. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ServiceContext {
    pub(super) engine: Engine,
    pub(super) auth: Option<Auth>,
    pub(super) quotas: Quotas,
    /// Those of the engine's log: post ids, cursors and page tokens name them.
    pub(super) epochs: Epochs,
    pub(super) limits: Limits,
    /// Whether reflection is served.
    pub(super) reflection: bool,
    pub(super) metrics: ApiMetrics,
    pub(super) scraper: Scraper,
}

impl ServiceContext {
    /// Waits until this server has reached the cursor `at_least` of the field `field`; an empty one
    /// asks for no wait. Gives the cursor that a read from now on is no older than.
    pub(super) async fn reached(&self, field: &str, at_least: &str) -> Result<String, Status> {
        let at_least = fields::optional_cursor(field, at_least, self)?;
        let reached = self.engine.reached(at_least, self.limits.call_time_max).await;
        reached.map_err(|error| status::from_query(error, &self.epochs))?;
        Ok(token::encode_cursor(&self.engine.cursor(), &self.epochs))
    }

    /// Checks the epoch that a client named for the revision `given` of a log. Of another log it is
    /// not known.
    pub(super) fn check_epoch(
        &self,
        log: LogId,
        given: Revision,
        epoch: Epoch,
    ) -> Result<(), CursorError> {
        if log == self.engine.cursor().log && epoch != self.epochs.at(given) {
            return Err(CursorError::HistoryLost { given });
        }
        Ok(())
    }
}
