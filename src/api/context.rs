//! The engine and the limits that every RPC uses. Never knows an RPC.

use std::time::Duration;

use prost::Message;
use tonic::Status;

use super::caller::{RequestFields, ResponseFields};
use super::nodes::{Forwarded, Nodes};
use super::{ApiMetrics, Quotas, Scraper, fields, post_id, status, token};
use crate::auth::{Auth, Caller};
use crate::config::Limits;
use crate::engine::Engine;
use crate::model::{CursorError, Epoch, Epochs, LogId, Revision};

/// How far a node may be behind another one before its calls are refused: some hundred times what it is as a rule.
const NODE_LAG_MAX: Duration = Duration::from_secs(2);

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
    /// The other nodes of the log, if it is shared.
    pub(super) nodes: Option<Nodes>,
}

/// Whether a change may be asked for again while nobody knows whether it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It has a request id.
    Safe,
    /// It might undo what was changed meanwhile.
    Unsafe,
}

impl ServiceContext {
    /// The answer of the node that decides changes, once this one shows what was changed; `None` if it is to be decided
    /// here.
    ///
    /// # Errors
    /// That node refuses the change, or gives no answer.
    pub(super) async fn forward<R, A>(
        &self,
        caller: &Caller,
        request: &R,
        repeat: Repeat,
    ) -> Result<Option<A>, Status>
    where
        R: RequestFields + Message + Clone + 'static,
        A: ResponseFields + Message + Default + 'static,
    {
        let Some(nodes) = &self.nodes else { return Ok(None) };
        match nodes.forward(caller, request).await? {
            Forwarded::Answered(answer, revision) => {
                let shown = self.engine.has(revision, self.limits.call_time_max).await;
                shown.map_err(|_| status::not_answered_by_node())?;
                Ok(Some(answer))
            }
            Forwarded::DecideHere => Ok(None),
            Forwarded::Unknown if repeat == Repeat::Safe => Ok(None),
            Forwarded::Unknown => Err(status::not_answered_by_node()),
        }
    }

    /// Waits until this server has reached the cursor `at_least` of the field `field`; an empty one
    /// asks for no wait. Gives the cursor that a read from now on is no older than.
    pub(super) async fn reached(&self, field: &str, at_least: &str) -> Result<String, Status> {
        let at_least = fields::optional_cursor(field, at_least, self)?;
        let reached = self.engine.reached(at_least, self.limits.call_time_max).await;
        reached.map_err(|error| status::from_query(error, &self.epochs))?;
        Ok(token::encode_cursor(&self.engine.cursor(), &self.epochs))
    }

    /// Waits until this node has all that a request names, which another node of the same log may have given to its
    /// client. Alone a node has all that there is.
    ///
    /// # Errors
    /// It is not there in time.
    pub(super) async fn has_positions_of(
        &self,
        request: &impl RequestFields,
    ) -> Result<(), Status> {
        if !self.engine.shares_log() {
            return Ok(());
        }
        let mut newest = Revision::ZERO;
        request.positions(&mut |text| newest = newest.max(self.revision_of(text)));
        let has = self.engine.has(newest, NODE_LAG_MAX).await;
        has.map_err(|error| status::from_query(error, &self.epochs))
    }

    /// The revision that a cursor, a page token or the id of a post names; [`Revision::ZERO`] if it is none of this log.
    fn revision_of(&self, text: &str) -> Revision {
        let own = self.engine.cursor().log;
        let of_token =
            || token::decode_page_token(text).ok().map(|(it, _)| (it.log, it.position.at));
        let of_cursor = token::decode_cursor(text).ok();
        let named = of_cursor.map(|(it, _)| (it.log, it.required_revision())).or_else(of_token);
        match named {
            Some((log, revision)) if log == own => revision,
            Some(_) => Revision::ZERO,
            None => post_id::revision(text).unwrap_or(Revision::ZERO),
        }
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
