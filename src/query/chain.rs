//! The chain of the log. Never says anything about the content of an event.

use super::{Error, LogChain, Query, Source, Unanswered};
use crate::model::Revision;

/// The chain of the log at a revision.
///
/// Fails with [`Error::AfterNewest`] if the revision is not applied yet.
#[derive(Clone, Copy, Debug)]
pub struct GetChain {
    /// The revision; [`Revision::ZERO`] for the newest that is applied.
    pub revision: Revision,
}

impl Query for GetChain {
    type Answer = LogChain;

    fn answer(&self, source: &Source<'_>) -> Result<LogChain, Unanswered> {
        let newest = source.state.applied();
        if self.revision > newest {
            return Err(Error::AfterNewest { revision: self.revision, newest }.into());
        }
        let revision = if self.revision == Revision::ZERO { newest } else { self.revision };
        let log = source.state.log.id();
        Ok(LogChain { log, revision, chain: source.log_chain(revision)? })
    }
}
