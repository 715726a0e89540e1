//! A live stream of one feed, for one reader. It never delivers an event twice, and never skips
//! one.
//!
//! ```text
//!              ┌─────────┐ cursor refused, new snapshot allowed
//!   open ────▶ │ Opening │──────────────▶ Resetting
//!              └────┬────┘                    │
//!                   ▼                         │
//!              ┌────────────┐ ◀───────────────┘
//!              │ CatchingUp │ ◀──────────────────────┐ the channel has overrun the reader,
//!              └────┬───────┘                        │ or the shard lagged
//!                   │ up to date with the state ┌────┴─┐
//!                   └─────────────────────────▶ │ Live │
//!                                               └──────┘
//! ```
//!
//! The stream subscribes first, and then reads the applied revision. Earlier events come from the
//! state and the log, and later ones from the channel; the revision identifies those that are in
//! both. All work is done in the reader's calls of [`LiveStream::poll_next`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::filter::Filtered;
use super::metrics::RefillCause;
use super::quota::StreamSlot;
use super::reading::{ReadResult, Reading};
use super::shard::Subscription;
use super::{Error, EventBatch, FeedEvent, LiveFeeds, Start, StreamMessage, WatchOptions, Watched};
use crate::config::Limits;
use crate::model::{Cursor, CursorError, Revision, UserId};
use crate::query::{Backlog, BacklogKind};
use crate::runtime::TokenWait;

/// The maximum bytes of a batch on the wire without its events: two cursors, tags, lengths.
pub(super) const BATCH_OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
enum StreamPhase {
    Opening { snapshot_items: Option<usize>, refused: Option<CursorError> },
    Resetting { refused: CursorError },
    CatchingUp,
    Live,
    Ended,
}

/// The reason why the wait of a live stream ended.
enum Wakeup {
    Events(Arc<EventBatch>),
    Overrun(RefillCause),
    Silence,
    Closing,
}

/// An open stream. Dropping it frees all that it holds.
#[derive(Debug)]
pub struct LiveStream {
    live: LiveFeeds,
    user: UserId,
    watched: Watched,
    subscription: Subscription,
    phase: StreamPhase,
    /// All events of the feed up to here were returned.
    at: Cursor,
    /// The cursor of the last message. It is before `at` after a read without events.
    sent: Cursor,
    /// The next events, in order, all after `at`. At most one batch, or as many as the channel
    /// holds.
    ready: VecDeque<Arc<EventBatch>>,
    /// The events after `ready`, which have to be filtered.
    unfiltered: VecDeque<Arc<EventBatch>>,
    has_caught_up: bool,
    heartbeat: Duration,
    silent_until: Instant,
    /// Ends at `silent_until` or before: it is set again when it ends, not with every message.
    silence: Pin<Box<Sleep>>,
    closing: Pin<Box<TokenWait>>,
    /// Nothing else is done while there is one.
    reading: Option<Reading>,
    _slot: StreamSlot,
}

impl LiveStream {
    pub(super) fn open(
        live: LiveFeeds,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<Self, Error> {
        let slot = live.0.quota.acquire(user)?;
        // Before the applied revision is read, so that no event is missed between the two.
        let subscription = Subscription::new(live.clone(), user, options.of.feed());

        let state = live.state();
        let now = state.cursor_after(state.applied());
        let checked = match start {
            Start::After(cursor) => cursor.check(&state.log_extent()),
            Start::AfterRefused(refused) => Err(refused),
            Start::Now | Start::Snapshot { .. } => Ok(()),
        };
        let (at, snapshot_items, refused) = match (start, checked, options.reset_items) {
            (Start::Snapshot { items_max }, ..) => (now, Some(items_max), None),
            (Start::After(cursor), Ok(()), _) => (cursor, None, None),
            (_, Ok(()), _) => (now, None, None),
            (_, Err(refused), Some(items_max)) => (now, Some(items_max), Some(refused)),
            (_, Err(refused), None) => return Err(refused.into()),
        };
        live.metrics().opened();
        Ok(Self {
            live,
            user: user.clone(),
            watched: options.of,
            subscription,
            phase: StreamPhase::Opening { snapshot_items, refused },
            at,
            sent: at,
            ready: VecDeque::new(),
            unfiltered: VecDeque::new(),
            has_caught_up: false,
            heartbeat: options.heartbeat,
            silent_until: Instant::now(),
            silence: Box::pin(sleep_until(Instant::now())),
            closing: TokenWait::new(CancellationToken::new()),
            reading: None,
            _slot: slot,
        })
    }

    /// Ends with [`StreamMessage::Closing`] when `token` is cancelled.
    #[must_use]
    pub fn until(self, token: CancellationToken) -> Self {
        Self { closing: TokenWait::new(token), ..self }
    }

    /// Waits for the next message. `None` after [`StreamMessage::Closing`].
    ///
    /// # Errors
    /// The index or the log could not be read. The stream must then be dropped.
    pub async fn next(&mut self) -> Result<Option<StreamMessage>, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`LiveStream::next`], for streams that are polled.
    ///
    /// # Errors
    /// See [`LiveStream::next`].
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<StreamMessage>, Error>> {
        let step = ready!(self.poll_step(cx))?;
        self.sent = self.at;
        let heartbeat = self.heartbeat.mul_f64(0.9 + 0.2 * fastrand::f64());
        self.silent_until = Instant::now() + heartbeat;
        Poll::Ready(Ok(step))
    }

    /// The position up to which all events were returned.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.at
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<StreamMessage>, Error>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                self.take(read?);
            }
            match self.phase {
                StreamPhase::Opening { snapshot_items: Some(items_max), refused } => {
                    self.phase = StreamPhase::Opening { snapshot_items: None, refused };
                    let (user, watched) = (&self.user, self.watched);
                    self.reading = Some(Reading::snapshot(&self.live, user, watched, items_max));
                }
                StreamPhase::Opening { snapshot_items: None, refused } => {
                    self.phase = refused.map_or(StreamPhase::CatchingUp, |refused| {
                        StreamPhase::Resetting { refused }
                    });
                    return Poll::Ready(Ok(Some(self.opened())));
                }
                StreamPhase::Ended => return Poll::Ready(Ok(None)),
                _ if self.closing.is_cancelled() => {
                    self.phase = StreamPhase::Ended;
                    return Poll::Ready(Ok(Some(StreamMessage::Closing { cursor: self.at })));
                }
                StreamPhase::Resetting { refused } => {
                    self.phase = StreamPhase::CatchingUp;
                    let state = self.live.state();
                    let oldest = state.cursor_after(state.log_extent().oldest);
                    let reset = StreamMessage::Reset { reason: refused, oldest };
                    return Poll::Ready(Ok(Some(reset)));
                }
                _ if !self.unfiltered.is_empty() => self.reading = Some(self.filter()),
                _ if !self.ready.is_empty() => return Poll::Ready(Ok(Some(self.batch()))),
                StreamPhase::CatchingUp => {
                    self.reading = self.backlog();
                    if self.reading.is_none() {
                        self.phase = StreamPhase::Live;
                        if !self.has_caught_up {
                            self.has_caught_up = true;
                            let cursor = self.at;
                            return Poll::Ready(Ok(Some(StreamMessage::CaughtUp { cursor })));
                        }
                    }
                }
                StreamPhase::Live => match ready!(self.poll_wakeup(cx)) {
                    Wakeup::Events(batch) => {
                        self.receive(batch);
                        self.drain();
                    }
                    Wakeup::Overrun(cause) => self.refill(cause),
                    Wakeup::Silence => {
                        if let Some(bookmark) = self.bookmark() {
                            return Poll::Ready(Ok(Some(bookmark)));
                        }
                    }
                    Wakeup::Closing => {}
                },
            }
        }
    }

    fn opened(&self) -> StreamMessage {
        let state = self.live.state();
        let head = state.applied().max(self.at.required_revision());
        StreamMessage::Opened {
            cursor: self.at,
            head: state.cursor_after(head),
            heartbeat: self.heartbeat,
        }
    }

    fn poll_wakeup(&mut self, cx: &mut Context<'_>) -> Poll<Wakeup> {
        if self.closing.as_mut().poll_cancelled(cx).is_ready() {
            return Poll::Ready(Wakeup::Closing);
        }
        // Before the channel is read, so that no batch comes unnoticed after that.
        self.subscription.wakes(cx.waker());
        match self.subscription.receiver.try_recv() {
            // The shard lagged: events before this are only in the log.
            Ok(batch) if batch.is_empty() => {
                return Poll::Ready(Wakeup::Overrun(RefillCause::ShardLag));
            }
            Ok(batch) => return Poll::Ready(Wakeup::Events(batch)),
            // The sender is not dropped before the subscription, so this is never `Closed`.
            Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                return Poll::Ready(Wakeup::Overrun(RefillCause::SlowReader));
            }
            Err(TryRecvError::Empty) => {}
        }
        loop {
            ready!(self.silence.as_mut().poll(cx));
            if self.silent_until <= Instant::now() {
                return Poll::Ready(Wakeup::Silence);
            }
            self.silence.as_mut().reset(self.silent_until);
        }
    }

    /// Receives all batches that are in the channel.
    fn drain(&mut self) {
        while self.ready.len() + self.unfiltered.len() < self.live.0.limits.channel_events_max {
            match self.subscription.receiver.try_recv() {
                Ok(batch) if !batch.is_empty() => self.receive(batch),
                Err(TryRecvError::Empty) => return,
                Ok(_) => return self.refill(RefillCause::ShardLag),
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                    return self.refill(RefillCause::SlowReader);
                }
            }
        }
    }

    /// Reads what the channel lacks from the log.
    fn refill(&mut self, cause: RefillCause) {
        self.live.metrics().refills(cause);
        self.phase = StreamPhase::CatchingUp;
    }

    /// Adds the events of `batch` that are after `at`; the backlog had the others.
    fn receive(&mut self, batch: Arc<EventBatch>) {
        let old = batch.partition_point(|event| event.revision <= self.at.after);
        let batch = match old {
            0 => batch,
            old if old < batch.len() => Arc::new(EventBatch::new(batch[old..].to_vec())),
            _ => return,
        };
        if batch.is_conditional() || !self.unfiltered.is_empty() {
            self.unfiltered.push_back(batch);
        } else {
            self.ready.push_back(batch);
        }
    }

    /// The message after a silence; `None` if there is an event after all.
    fn bookmark(&mut self) -> Option<StreamMessage> {
        // Read before the channel is drained, which has all events up to here.
        let dispatched = self.subscription.dispatched();
        self.drain();
        let is_drained = self.ready.is_empty() && self.unfiltered.is_empty();
        if !is_drained || !matches!(self.phase, StreamPhase::Live) {
            return None;
        }
        self.at.after = self.at.after.max(dispatched);
        Some(StreamMessage::Bookmark { cursor: self.at })
    }

    fn filter(&self) -> Reading {
        let events = self.unfiltered.iter().flat_map(|batch| batch.iter());
        let conditional = events.filter(|event| event.is_conditional()).cloned().collect();
        Reading::filter(&self.live, &self.user, self.watched, conditional)
    }

    fn take(&mut self, read: ReadResult) {
        match read {
            ReadResult::Snapshot(start) => self.at = start,
            ReadResult::Filtered(filtered) => self.move_filtered(filtered),
            ReadResult::Backlog { backlog: Backlog { events, reached }, until } => {
                if !events.is_empty() {
                    self.ready.push_back(Arc::new(EventBatch::new(events)));
                } else if reached < until {
                    self.at.after = reached;
                } else {
                    self.at = self.live.state().cursor_after(until);
                }
            }
        }
    }

    /// Moves the unfiltered events that belong to the feed to `ready`. A batch of which all events
    /// do is moved as it is.
    fn move_filtered(&mut self, filtered: Vec<Filtered>) {
        let mut filtered = filtered.into_iter();
        let mut reached = self.at.after;
        for batch in self.unfiltered.drain(..) {
            reached = batch.last().map_or(reached, |event| event.revision);
            let mut is_as_sent = true;
            let mut kept = Vec::with_capacity(batch.len());
            for event in batch.iter() {
                let result = match event.is_conditional() {
                    true => match filtered.next() {
                        Some(result) => result,
                        None => unreachable!("each conditional event has a result"),
                    },
                    false => Filtered::Kept,
                };
                is_as_sent &= matches!(result, Filtered::Kept);
                match result {
                    Filtered::Kept => kept.push(Arc::clone(event)),
                    Filtered::Extended(event) => kept.push(event),
                    Filtered::Dropped => {}
                }
            }
            if is_as_sent {
                self.ready.push_back(batch);
            } else if !kept.is_empty() {
                self.ready.push_back(Arc::new(EventBatch::new(kept)));
            }
        }
        if self.ready.is_empty() {
            self.at.after = self.at.after.max(reached);
        }
    }

    /// A message of the first ready events, of which there must be some. A single batch is sent as
    /// it is, so that all streams share its bytes.
    fn batch(&mut self) -> StreamMessage {
        let limits = &self.live.0.limits;
        let (mut batches, mut count, mut bytes) = (0, 0, BATCH_OVERHEAD_BYTES);
        for batch in &self.ready {
            count += batch.len();
            bytes += batch.wire_bytes_max();
            if count > limits.batch_events_max || bytes > limits.batch_bytes_max {
                break;
            }
            batches += 1;
        }
        let mut first: VecDeque<_> = self.ready.drain(..batches.max(1)).collect();
        let events = match (batches, first.pop_front()) {
            (1, Some(batch)) => batch,
            (0, Some(batch)) => {
                let (fitting, rest) = batch.split_at(fitting(&batch, limits));
                if !rest.is_empty() {
                    self.ready.push_front(Arc::new(EventBatch::new(rest.to_vec())));
                }
                Arc::new(EventBatch::new(fitting.to_vec()))
            }
            (_, batch) => {
                let batches = batch.iter().chain(&first);
                Arc::new(EventBatch::new(batches.flat_map(|batch| batch.iter().cloned()).collect()))
            }
        };
        self.live.metrics().delivered(events.len());
        let prev = self.sent;
        self.at.after = events.last().map_or(self.at.after, |event| event.revision);
        StreamMessage::Batch { prev, cursor: self.at, events }
    }

    /// Reads the next events after `at` from the state and the log; `None` if the stream is up to
    /// date with the state.
    fn backlog(&mut self) -> Option<Reading> {
        let in_snapshot = self.at.after < self.at.snapshot_until;
        let (kind, until) = if in_snapshot {
            (BacklogKind::Items, self.at.snapshot_until)
        } else {
            (BacklogKind::Events, self.live.state().applied())
        };
        // A cursor may be ahead of the state while a batch is being applied.
        if until <= self.at.after {
            self.at.snapshot_until = Revision::ZERO;
            return None;
        }
        let (of, range) = ((&self.user, self.watched), (self.at.after, until));
        Some(Reading::backlog(&self.live, of, range, kind))
    }
}

/// The number of `events`, from the first on, that fit into a batch: at least one.
fn fitting(events: &[Arc<FeedEvent>], limits: &Limits) -> usize {
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let fits = |event: &&Arc<FeedEvent>| {
        bytes += event.wire_bytes_max();
        bytes <= limits.batch_bytes_max
    };
    events.iter().take(limits.batch_events_max).take_while(fits).count().max(1)
}
