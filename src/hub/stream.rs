//! One live feed, as its reader sees it.
//!
//! ```text
//!              ┌─────────┐ cursor refused, fresh snapshot wanted
//!   open ────▶ │ Opening │──────────────▶ Resetting
//!              └────┬────┘                    │
//!                   ▼                         │
//!              ┌────────────┐ ◀───────────────┘
//!              │ CatchingUp │ ◀──────────────────────┐ the channel has overrun the reader
//!              └────┬───────┘                        │
//!                   │ level with the view      ┌─────┴┐
//!                   └────────────────────────▶ │ Live │
//!                                              └──────┘
//! ```
//!
//! The stream subscribes first and then reads how far the view is. What was applied by then comes
//! from the view and the log; what is applied later is in the channel, and what is in both is told
//! apart by its revision. The reader is asked for nothing but to come back: all work is done when
//! it does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};

use super::registry::Subscription;
use super::{CursorError, Error, FeedEvent, FeedEventKind, Hub};
use crate::model::{Cursor, Revision, UserId};
use crate::view::{BacklogKind, BacklogQuery, Happened, PageQuery, View};

/// What a batch takes on the wire beside its events, at most: two cursors, tags and lengths.
const BATCH_OVERHEAD_BYTES: usize = 256;
/// Events read from the log at once: of ordinary ones not much more than a batch takes.
const READ_EVENTS_MAX: usize = 64;

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// After a position.
    After(Cursor),
    /// With the newest items, at most so many.
    Snapshot {
        /// How many.
        items_max: usize,
    },
}

/// How a stream behaves.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// The longest silence, give or take a tenth.
    pub heartbeat: Duration,
    /// If the cursor cannot be served: begin with so many of the newest items instead.
    pub reset_items: Option<usize>,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first.
    Opened {
        /// Where the stream begins.
        cursor: Cursor,
        /// How far the log goes.
        head: Cursor,
        /// The longest silence.
        heartbeat: Duration,
    },
    /// The cursor could not be served; a snapshot follows.
    Reset {
        /// Why.
        reason: CursorError,
        /// The oldest position that could have been served.
        oldest: Cursor,
    },
    /// Everything that concerns the feed in (`prev`, `cursor`].
    Batch {
        /// The cursor sent last.
        prev: Cursor,
        /// The position reached.
        cursor: Cursor,
        /// What happened, in order; not empty.
        events: Vec<Arc<FeedEvent>>,
    },
    /// Backlog or snapshot have been sent.
    CaughtUp {
        /// The position reached.
        cursor: Cursor,
    },
    /// Nothing happened for a while.
    Bookmark {
        /// The position reached.
        cursor: Cursor,
    },
    /// The last: the server is stopping.
    Closing {
        /// The position reached.
        cursor: Cursor,
    },
}

#[derive(Debug)]
enum Phase {
    Opening { snapshot_items: Option<usize>, refused: Option<CursorError> },
    Resetting { refused: CursorError },
    CatchingUp,
    Live,
    Ended,
}

/// What ends the wait of a live stream.
enum Woken {
    Event(Arc<FeedEvent>),
    Overrun,
    Silence,
    Closing,
}

/// A live feed, opened. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct LiveStream {
    hub: Hub,
    user: UserId,
    subscription: Subscription,
    phase: Phase,
    /// All that concerns the feed up to here was handed out, or is none.
    at: Cursor,
    /// The cursor handed out last. It is behind `at` after a look that found nothing.
    told: Cursor,
    /// What comes next, in order, all after `at`. At most what a batch or the channel holds.
    ready: VecDeque<Arc<FeedEvent>>,
    told_caught_up: bool,
    heartbeat: Duration,
    silent_until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl LiveStream {
    pub(super) fn open(
        hub: Hub,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<Self, Error> {
        let streams_max = hub.0.limits.streams_max;
        let permit = Arc::clone(&hub.0.permits)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyStreams { streams_max })?;
        // Before anything else is read, so that nothing falls in between.
        let subscription = Subscription::new(hub.clone(), user)?;

        let now = hub.cursor_after(hub.0.view.applied());
        let (at, snapshot_items, refused) = match start {
            Start::Now => (now, None, None),
            Start::Snapshot { items_max } => (now, Some(items_max), None),
            Start::After(cursor) => match (hub.check_cursor(&cursor), options.reset_items) {
                (Ok(()), _) => (cursor, None, None),
                (Err(refused), Some(items_max)) => (now, Some(items_max), Some(refused)),
                (Err(refused), None) => return Err(refused.into()),
            },
        };
        Ok(Self {
            hub,
            user: user.clone(),
            subscription,
            phase: Phase::Opening { snapshot_items, refused },
            at,
            told: at,
            ready: VecDeque::new(),
            told_caught_up: false,
            heartbeat: options.heartbeat,
            silent_until: Instant::now(),
            _permit: permit,
        })
    }

    /// The next message; waits for it. `None` after [`Step::Closing`].
    ///
    /// # Errors
    /// The log could not be read. The stream is then to be dropped.
    pub async fn next(&mut self) -> Result<Option<Step>, Error> {
        let step = self.next_step().await?;
        self.told = self.at;
        let heartbeat = self.heartbeat.mul_f64(0.9 + 0.2 * fastrand::f64());
        self.silent_until = Instant::now() + heartbeat;
        Ok(step)
    }

    /// The position reached: everything before it was handed out.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.at
    }

    async fn next_step(&mut self) -> Result<Option<Step>, Error> {
        loop {
            match self.phase {
                Phase::Opening { snapshot_items, refused } => {
                    if let Some(items_max) = snapshot_items {
                        self.at = self.snapshot(items_max).await?;
                    }
                    self.phase =
                        refused.map_or(Phase::CatchingUp, |refused| Phase::Resetting { refused });
                    return Ok(Some(self.opened()));
                }
                Phase::Ended => return Ok(None),
                _ if self.hub.0.closing.is_cancelled() => {
                    self.phase = Phase::Ended;
                    return Ok(Some(Step::Closing { cursor: self.at }));
                }
                Phase::Resetting { refused } => {
                    self.phase = Phase::CatchingUp;
                    let oldest = self.hub.cursor_after(self.hub.0.view.log().oldest());
                    return Ok(Some(Step::Reset { reason: refused, oldest }));
                }
                _ if !self.ready.is_empty() => return Ok(Some(self.batch())),
                Phase::CatchingUp => {
                    self.read_backlog().await?;
                    if self.ready.is_empty() {
                        self.phase = Phase::Live;
                        if !self.told_caught_up {
                            self.told_caught_up = true;
                            return Ok(Some(Step::CaughtUp { cursor: self.at }));
                        }
                    }
                }
                Phase::Live => match self.wait().await {
                    Woken::Event(event) => {
                        self.take(event);
                        self.drain();
                    }
                    Woken::Overrun => self.phase = Phase::CatchingUp,
                    Woken::Silence => {
                        // Read before the channel is emptied: all up to it is in there.
                        let dispatched = self.hub.dispatched();
                        self.drain();
                        if self.ready.is_empty() && matches!(self.phase, Phase::Live) {
                            self.at.after = self.at.after.max(dispatched);
                            return Ok(Some(Step::Bookmark { cursor: self.at }));
                        }
                    }
                    Woken::Closing => {}
                },
            }
        }
    }

    fn opened(&self) -> Step {
        let head = self.hub.0.view.applied().max(self.at.needs());
        Step::Opened {
            cursor: self.at,
            head: self.hub.cursor_after(head),
            heartbeat: self.heartbeat,
        }
    }

    async fn wait(&mut self) -> Woken {
        tokio::select! {
            biased;
            () = self.hub.0.closing.cancelled() => Woken::Closing,
            received = self.subscription.receiver.recv() => match received {
                Ok(event) => Woken::Event(event),
                // The sender is part of the subscription, so the channel is never closed.
                Err(RecvError::Lagged(_) | RecvError::Closed) => Woken::Overrun,
            },
            () = sleep_until(self.silent_until) => Woken::Silence,
        }
    }

    /// Takes what is in the channel, up to a batch.
    fn drain(&mut self) {
        while self.ready.len() < self.hub.0.limits.batch_events_max {
            match self.subscription.receiver.try_recv() {
                Ok(event) => self.take(event),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                    self.phase = Phase::CatchingUp;
                    return;
                }
            }
        }
    }

    /// Makes `event` ready unless the backlog had it.
    fn take(&mut self, event: Arc<FeedEvent>) {
        if event.revision > self.at.after {
            self.ready.push_back(event);
        }
    }

    /// A batch of the first ready events, of which there must be some.
    fn batch(&mut self) -> Step {
        let limits = &self.hub.0.limits;
        let prev = self.told;
        let mut events = Vec::with_capacity(self.ready.len().min(limits.batch_events_max));
        let mut bytes = BATCH_OVERHEAD_BYTES;
        while let Some(event) = self.ready.front() {
            bytes += event.wire_bytes_max();
            let full = events.len() == limits.batch_events_max || bytes > limits.batch_bytes_max;
            if full && !events.is_empty() {
                break;
            }
            self.at.after = event.revision;
            events.extend(self.ready.pop_front());
        }
        Step::Batch { prev, cursor: self.at, events }
    }

    /// Makes the next events ready that the view and the log have after `at`; none if the stream
    /// is level with the view.
    async fn read_backlog(&mut self) -> Result<(), Error> {
        loop {
            let view = &self.hub.0.view;
            let in_snapshot = self.at.after < self.at.snapshot_until;
            let (kind, until) = if in_snapshot {
                (BacklogKind::Items, self.at.snapshot_until)
            } else {
                (BacklogKind::Events, view.applied())
            };
            // A cursor may be ahead of the view for the moment in which a batch is applied.
            if until <= self.at.after {
                self.at.snapshot_until = Revision::ZERO;
                return Ok(());
            }
            view.reached(until).await;
            let query = BacklogQuery {
                user: self.user.clone(),
                after: self.at.after,
                until,
                kind,
                events_max: self.hub.0.limits.batch_events_max,
            };
            let revisions = match view.backlog_at_hand(&query) {
                Some(revisions) => revisions,
                None => view.read(move |view| view.backlog(&query)).await?,
            };
            if !revisions.is_empty() {
                self.ready = self.load(revisions).await?;
                return Ok(());
            }
            self.at = self.hub.cursor_after(until);
        }
    }

    /// The events at the first of `revisions`, of which there must be some: at least one, and at
    /// most as many as fit into a batch.
    async fn load(&self, revisions: Vec<Revision>) -> Result<VecDeque<Arc<FeedEvent>>, Error> {
        let hub = &self.hub;
        let bytes_max = hub.0.limits.batch_bytes_max;
        // A reader that is just behind finds all it missed at hand.
        let at_hand = revisions.iter().map_while(|&revision| hub.event_at_hand(revision));
        let at_hand = fitting(at_hand.map(Ok), bytes_max)?;
        if !at_hand.is_empty() {
            return Ok(at_hand);
        }
        hub.0.view.read(move |view| fitting(read(view, &revisions), bytes_max)).await
    }

    /// Where the stream starts if it begins with the newest items of the feed.
    async fn snapshot(&self, items_max: usize) -> Result<Cursor, Error> {
        let view = &self.hub.0.view;
        let (user, before) = (self.user.clone(), Revision::MAX);
        let query = PageQuery { user, before, items_max, with_own: true };
        let page = match view.feed_page_at_hand(&query) {
            Some(page) => page,
            None => view.read(move |view| view.feed_page(&query)).await?,
        };
        let from = page.revisions.last().map_or(page.at, |oldest| oldest.previous());
        let snapshot_until = if from < page.at { page.at } else { Revision::ZERO };
        Ok(Cursor { snapshot_until, ..self.hub.cursor_after(from) })
    }
}

/// The events at `revisions`, read from the log as they are asked for.
fn read<'a>(
    view: &'a View,
    revisions: &'a [Revision],
) -> impl Iterator<Item = Result<FeedEvent, Error>> + 'a {
    revisions.chunks(READ_EVENTS_MAX).flat_map(|revisions| match view.happened(revisions) {
        Ok(happened) => happened
            .into_iter()
            .zip(revisions)
            .map(|(happened, &revision)| event(revision, happened))
            .collect(),
        Err(error) => vec![Err(error.into())],
    })
}

fn event(revision: Revision, happened: Option<Happened>) -> Result<FeedEvent, Error> {
    let event = match happened {
        Some(Happened::Post(post)) => {
            Some(FeedEvent { revision, kind: FeedEventKind::Posted(post) })
        }
        Some(Happened::Other(change)) => FeedEvent::of(revision, &change, None),
        None => None,
    };
    event.ok_or(Error::Missing { revision })
}

/// The first of `events`: at least one if there is one, and at most as many as fit into a batch.
fn fitting(
    events: impl Iterator<Item = Result<FeedEvent, Error>>,
    bytes_max: usize,
) -> Result<VecDeque<Arc<FeedEvent>>, Error> {
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let mut first = VecDeque::new();
    for event in events {
        let event = event?;
        bytes += event.wire_bytes_max();
        if bytes > bytes_max && !first.is_empty() {
            break;
        }
        first.push_back(Arc::new(event));
    }
    Ok(first)
}

impl Hub {
    /// The feed event at `revision` if that is a post, and in memory.
    fn event_at_hand(&self, revision: Revision) -> Option<FeedEvent> {
        let post = self.0.view.cached_post(revision)?;
        Some(FeedEvent { revision, kind: FeedEventKind::Posted(post) })
    }
}
