//! The reads that a stream waits for: a snapshot, a backlog, a filter. A read goes on where it was
//! when its stream is polled again, and is cancelled when the stream is dropped. Never changes a
//! stream.

use std::pin::Pin;
use std::sync::Arc;

use super::catch_up::CatchUp;
use super::filter::{FilterEvents, Filtered};
use super::{Error, FeedEvent, LiveFeeds, Watched};
use crate::model::{Cursor, Revision, UserId};
use crate::query::{Backlog, BacklogKind};

/// A read under way. In memory of its own, because a stream has none nearly all of the time.
pub(super) struct Reading(Pin<Box<dyn Future<Output = Result<ReadResult, Error>> + Send>>);

/// What was read.
#[derive(Debug)]
pub(super) enum ReadResult {
    /// The start of a snapshot.
    Snapshot(Cursor),
    /// The next events, of those up to `until`.
    Backlog { backlog: Backlog<Arc<FeedEvent>>, until: Revision },
    /// One for each event that was given.
    Filtered(Vec<Filtered>),
}

impl Reading {
    /// The start of a snapshot of at most `items_max` items.
    pub(super) fn snapshot(
        live: &LiveFeeds,
        user: &UserId,
        watched: Watched,
        items_max: usize,
    ) -> Self {
        let (live, user) = (live.clone(), user.clone());
        Self(Box::pin(async move {
            Ok(ReadResult::Snapshot(live.snapshot(&user, watched, items_max).await?))
        }))
    }

    /// The next events in (`after`, `until`].
    pub(super) fn backlog(
        live: &LiveFeeds,
        (user, watched): (&UserId, Watched),
        (after, until): (Revision, Revision),
        kind: BacklogKind,
    ) -> Self {
        let live = live.clone();
        let limits = &live.0.limits;
        let catch_up = CatchUp {
            user: user.clone(),
            watched,
            after,
            until,
            kind,
            events_max: limits.batch_events_max,
            bytes_max: limits.batch_bytes_max,
        };
        Self(Box::pin(async move {
            live.state().reached(until).await;
            let backlog = live.0.reader.ask(catch_up).await?;
            Ok(ReadResult::Backlog { backlog, until })
        }))
    }

    /// Which of `events`, all of them conditional, belong to the feed.
    pub(super) fn filter(
        live: &LiveFeeds,
        user: &UserId,
        watched: Watched,
        events: Vec<Arc<FeedEvent>>,
    ) -> Self {
        let (live, user) = (live.clone(), user.clone());
        Self(Box::pin(async move {
            let filter = FilterEvents { user, watched, events };
            Ok(ReadResult::Filtered(live.0.reader.ask(filter).await?))
        }))
    }
}

impl Future for Reading {
    type Output = Result<ReadResult, Error>;

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}
