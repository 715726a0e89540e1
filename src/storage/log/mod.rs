//! The log: every change, in the one order that there is, durable before anybody hears of it.
//!
//! ```text
//!   append ──▶ ┌───┬───┬───┬─────┬──────┐ ──▶ follow   each batch once it is durable
//!              │ 1 │ 2 │ 3 │  …  │ head │
//!              └───┴───┴───┴─────┴──────┘ ──▶ read     a range; one event
//! ```
//!
//! [`Log`] is what an implementation promises, and [`conformance`] holds it to that. The trait asks
//! for nothing that a replicated stream could not give: revisions come from the log, and whoever
//! applies them follows it.
//!
//! Nothing here knows what the changes mean, or how they are stored: only what a record of one is.

pub(in crate::storage) mod codec;
pub mod conformance;
mod facet_codec;
mod old_mentions;
mod tail;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

pub use tail::Tail;

use super::Error;
use crate::model::{Event, LogId, Revision};

/// An event and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it is.
    pub revision: Revision,
    /// What it is.
    pub event: Event,
}

/// Events that became durable together, at consecutive revisions.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The revision of the first event.
    pub first: Revision,
    /// The events. Never empty.
    pub events: Vec<Event>,
}

impl Batch {
    /// The events with their revisions, in order.
    pub fn entries(&self) -> impl Iterator<Item = (Revision, &Event)> {
        (self.first.get()..).map(Revision::new).zip(&self.events)
    }
}

/// Posts to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Where they were published, rising. What is no post there is left as it is.
    pub posts: Vec<Revision>,
    /// Up to here deletions were looked for; not beyond the head.
    pub until: Revision,
}

/// What came of [`Log::erase`].
#[must_use]
#[derive(Debug)]
pub enum EraseOutcome {
    /// It is done.
    Done,
    /// It was given up because nobody wanted it any more. Nothing was changed.
    Abandoned,
    /// It cannot be done now, for this reason. Nothing was changed, and a later try may succeed.
    Postponed(Error),
}

/// An ordered, durable log of events. Its calls block; those that read never wait for an append.
pub trait Log: Send + Sync + std::fmt::Debug {
    /// Which log this is. Never changes.
    fn id(&self) -> LogId;

    /// The revision of the newest durable event; [`Revision::ZERO`] for an empty log.
    fn head(&self) -> Revision;

    /// The position from which everything is still there: events after it can be read.
    fn oldest(&self) -> Revision;

    /// Appends `events`, which must not be empty, right after `after`. They are durable when it
    /// returns, all of them, and have the revisions that follow `after` without a gap.
    ///
    /// Naming the place makes a decision safe that was taken by what the log held up to there.
    ///
    /// # Errors
    /// [`Error::HeadMoved`]: the log goes on after `after` already; nothing was appended.
    /// [`Error::DiskFull`]: nothing was appended, and a later append may succeed. Any other error:
    /// whether something was appended is known only after the log was opened anew; the log must
    /// not be used further.
    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error>;

    /// The event at `revision`; `None` for [`Revision::ZERO`] and beyond the head. No other place
    /// is ever empty: one that is found so is damage, and never `None`.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn get(&self, revision: Revision) -> Result<Option<Event>, Error>;

    /// The events at `revisions`, in their order, each as [`Log::get`] gives it. Costs less than as
    /// many calls of that.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn get_many(&self, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        revisions.iter().map(|&revision| self.get(revision)).collect()
    }

    /// The events after `after`, in order and without a gap: at most `events_max`, and if fewer all
    /// up to the head, or even beyond it where an append is under way.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error>;

    /// From now on, hands every batch that becomes durable to the receiver, in order, and says
    /// which revision was the newest before the first of them. An append waits while `batches_max`
    /// batches have not been received.
    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>);

    /// Erases what posts said. After [`EraseOutcome::Done`] that is nowhere in the log's storage, and the
    /// events that published them are what [`Event::erased`] leaves of them; nothing else has
    /// changed, above all no revision. Before that each post is whole or erased, and so it is after
    /// a crash. Appends and reads go on meanwhile.
    ///
    /// It may take as long as reading all of the log, so `go_on` is asked now and then.
    ///
    /// # Errors
    /// The log must not be used further. Which of the posts are erased is known only after it was
    /// opened anew.
    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error>;

    /// Up to where deletions had been looked for when posts were erased last. It is kept with the
    /// log.
    fn erased_until(&self) -> Revision;

    /// Whether what is appended will be found by the next to open the log, as far as can be seen.
    ///
    /// # Errors
    /// It will not, and the log must not be used further.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Ends the log's life in this process: receivers of [`Log::follow`] end after what was
    /// durable, and an append after this is an error.
    fn close(&self);
}
