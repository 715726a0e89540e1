//! The log: every change as an event, in one total order. An event is durable before it is
//! acknowledged or delivered.
//!
//! ```text
//!   append ──▶ ┌───┬───┬───┬─────┬──────┐ ──▶ follow   each batch, once it is durable
//!              │ 1 │ 2 │ 3 │  …  │ head │
//!              └───┴───┴───┴─────┴──────┘ ──▶ read     one event, or a range
//! ```
//!
//! [`Log`] is the contract of an implementation; [`conformance`] tests it. A replicated stream
//! could implement it: the log assigns revisions, and the events are applied by a reader that
//! follows it.
//!
//! This module has the bytes of a record (`record.rs`, `codec.rs`). It never interprets a change, and never
//! touches a file.

pub(in crate::storage) mod codec;
pub mod conformance;
pub(in crate::storage) mod encoded_batch;
pub(in crate::storage) mod event_record;
mod facet_codec;
mod old_mentions;
pub(in crate::storage) mod record;
mod tail;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

pub use tail::Tail;

use super::Error;
use crate::model::{Chain, Epochs, Event, LogId, Revision};

/// An event with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The position in the log.
    pub revision: Revision,
    /// The event at that position.
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

/// How a node gets on with the store of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// The newest term that this node knows. An append whose outcome was not known has begun one.
    pub term: u64,
    /// Writes that append nothing, and say that what was read, or decided by, is the newest.
    pub barriers: u64,
    /// Whether it was reached when it was last asked.
    pub is_reached: bool,
}

/// What a log takes on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSize {
    /// Files with events.
    pub segments: usize,
    /// Their bytes, those that are prepared for later events left out.
    pub bytes: u64,
    /// Bytes that may still be written to the disk; `None` if that is not known.
    pub free_bytes: Option<u64>,
}

/// Deleted posts whose content is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The revisions of the posts, rising. A revision that published no post is ignored.
    pub posts: Vec<Revision>,
    /// `posts` has every post that was deleted up to this revision. At most the head.
    pub until: Revision,
}

/// A segment of a log, as a backup has it: complete, with tables and foot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The number in the name of its file.
    pub number: u64,
    /// A random number. A rewrite of the segment, which erases posts, has another one.
    pub salt: u64,
    /// The revision of the first event.
    pub first: Revision,
    /// The revision of the last event; the one before the first without events.
    pub last: Revision,
    /// The chain after the last event.
    pub chain: Chain,
    /// The end of the last frame.
    pub frames_end: u64,
    /// All bytes, with tables and foot.
    pub bytes: u64,
}

/// The outcome of [`Log::read_segment`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentRead {
    /// All bytes were passed on.
    Done,
    /// The log has rewritten the segment since, or never had it.
    Replaced,
    /// The caller stopped it.
    Stopped,
}

/// The outcome of [`Log::erase`].
#[must_use]
#[derive(Debug)]
pub enum EraseOutcome {
    /// The content is erased.
    Done,
    /// The caller or a close stopped it. Each post is whole or erased; a later call erases the rest.
    Abandoned,
    /// It failed, for this reason. Each post is whole or erased, and a later call may succeed.
    Postponed(Error),
}

/// An ordered, durable log of events. Calls block the thread. Reads never wait for an append.
pub trait Log: Send + Sync + std::fmt::Debug {
    /// The id of the log. Never changes.
    fn id(&self) -> LogId;

    /// The revision of the newest durable event; [`Revision::ZERO`] for an empty log.
    fn head(&self) -> Revision;

    /// Which opening of the log appended which events. What this one appends has an epoch of its own.
    fn epochs(&self) -> Epochs;

    /// The revision before the oldest event that can be read: [`Revision::ZERO`] if no event was
    /// removed.
    fn oldest(&self) -> Revision;

    /// Appends `events`, at least one, right after the revision `after`. All of them are durable
    /// when it returns, at the revisions that follow `after` without a gap.
    ///
    /// `after` is an optimistic lock: the caller decided on the events by the log up to there.
    ///
    /// # Errors
    /// [`Error::HeadMoved`]: `after` is not the head; nothing was appended. [`Error::DiskFull`]:
    /// nothing was appended, and a later append may succeed. After any other error the log must not
    /// be used further; only opening it again shows whether something was appended.
    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error>;

    /// The event at `revision`; `None` for [`Revision::ZERO`] and after the head. A missing event
    /// between them is damage: an error, never `None`.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn get(&self, revision: Revision) -> Result<Option<Event>, Error>;

    /// The events at `revisions`, in that order, each as by [`Log::get`]. Cheaper than single
    /// calls.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn get_many(&self, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        revisions.iter().map(|&revision| self.get(revision)).collect()
    }

    /// The events after `after`, in order and without a gap, at most `events_max`. Fewer only if
    /// the head is among them; events of an append that has not returned may be among them too.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error>;

    /// The chain of all events up to `revision`; `None` after the head. It is the same before and
    /// after an erasure.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn chain(&self, revision: Revision) -> Result<Option<Chain>, Error>;

    /// Sends every batch that becomes durable from now on to the receiver, in order. Gives the head
    /// before the first of them. An append waits while `batches_max` batches are in the channel.
    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>);

    /// Erases the content of deleted posts. After [`EraseOutcome::Done`] no byte of it is in the
    /// log's storage, and [`Event::erased`] replaces the events that published the posts. Nothing
    /// else changes, and no revision does. Until then, and after a crash, each post is either whole
    /// or erased. Appends and reads continue meanwhile.
    ///
    /// It may take as long as a read of the whole log. It stops soon after `go_on` returns `false`.
    ///
    /// # Errors
    /// The log must not be used further. Only opening it again shows which posts are erased.
    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error>;

    /// The [`Erasure::until`] of the last erasure. Stored in the log.
    fn erased_until(&self) -> Revision;

    /// All segments, in order, up to the present head: the log as a backup has it.
    fn segments(&self) -> Vec<SegmentInfo>;

    /// Passes all bytes of a segment on, in order and in pieces, until `pass_on` returns `false`. Each
    /// piece is checked before. What was appended after `segment` was made is left out.
    ///
    /// # Errors
    /// The segment is damaged or cannot be read: what was passed on is not to be used.
    fn read_segment(
        &self,
        segment: &SegmentInfo,
        pass_on: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<SegmentRead, Error>;

    /// Checks that the next opening of the log will find what is appended, as far as can be known.
    ///
    /// # Errors
    /// It will not. The log must not be used further.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// How this node gets on with the store of a log that is shared; `None` for a log of this server alone.
    fn store_state(&self) -> Option<StoreState> {
        None
    }

    /// What the log takes on its disk; `None` if it is not known. Read from memory, but for the free space.
    fn size(&self) -> Option<LogSize> {
        None
    }

    /// Waits until it is certain that nobody had appended after `after` when this was called, so that what is decided
    /// by the log up to there, and appends nothing, is decided by all that was acknowledged before. Alone, that is so.
    ///
    /// # Errors
    /// [`Error::HeadMoved`]: others have appended. [`Error::Closed`]: it is not known.
    fn confirm(&self, after: Revision) -> Result<(), Error>;

    /// Whether others append to the log, too.
    fn is_shared(&self) -> bool;

    /// Ends appends that wait for others, as for a server that cannot be reached: with [`Error::Closed`]. Their outcome
    /// is not known. To be called before the log is closed.
    fn stop_waiting(&self);

    /// Closes the log in this process. Receivers of [`Log::follow`] end after the last durable
    /// batch; later appends fail.
    fn close(&self);
}
