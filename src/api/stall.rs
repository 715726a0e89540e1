//! Detects readers that accept nothing, and closes their connections. Never closes a connection
//! whose streams are idle.
//!
//! A stream whose reader grants no HTTP/2 window is not polled, so nothing inside it can detect the
//! stall. Therefore each stream records since when it waits to be polled: its waker does, before it
//! wakes the task that polls. One task checks the records. The transport takes one message in
//! advance, so a stall shows at the second message that the reader does not accept.
//!
//! ```text
//!              polled, and has no message         an event, or the heartbeat
//!   ┌────────▶ idle ─────────────────────────────────────▶ waits to be polled since …
//!   └────────────────────────────────────────────────────────────────┘ polled
//! ```

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

/// How often the records are checked within the stall limit.
const CHECKS_PER_STALL: u32 = 6;

/// Ends a connection from any task. Cheap to clone; in the extensions of every request of the
/// connection.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<CloserTokens>);

#[derive(Debug, Default)]
struct CloserTokens {
    /// Also cancelled by a close at once, so that one wait is enough for both.
    retirement: CancellationToken,
    close: CancellationToken,
}

impl Closer {
    /// Sends the client elsewhere: its streams end with their cursors, its running calls are
    /// answered, and then, or at a deadline, the connection is closed.
    pub fn retire(&self) {
        self.0.retirement.cancel();
    }

    /// The token that is cancelled when the connection ends, in order or at once.
    #[must_use]
    pub fn retirement(&self) -> &CancellationToken {
        &self.0.retirement
    }

    /// Closes the connection at once, also during calls.
    pub fn close(&self) {
        self.0.close.cancel();
        self.0.retirement.cancel();
    }

    /// The token that is cancelled when the connection ends at once. It is cancelled before
    /// [`Closer::retirement`].
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.0.close
    }
}

/// The records of all open streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StallWatch(Arc<StallRecords>);

#[derive(Debug)]
struct StallRecords {
    stall_time_max: Duration,
    next_key: AtomicU64,
    streams: Mutex<HashMap<u64, (Arc<PollWaker>, Closer)>>,
}

/// The waker of a stream. Records when the stream was woken, and wakes the task that polls it.
#[derive(Debug)]
struct PollWaker {
    task: Mutex<Waker>,
    /// `None` while the stream is idle.
    waiting_since: Mutex<Option<Instant>>,
}

impl StallWatch {
    /// Closes connections with a stream that was not read for `stall_time_max` although it had a
    /// message.
    #[must_use]
    pub fn new(stall_time_max: Duration) -> Self {
        let streams = Mutex::default();
        Self(Arc::new(StallRecords { stall_time_max, next_key: AtomicU64::new(0), streams }))
    }

    /// Checks the records, for ever.
    pub async fn run(self) {
        let mut checks = tokio::time::interval(self.0.stall_time_max / CHECKS_PER_STALL);
        loop {
            checks.tick().await;
            let now = Instant::now();
            for (waker, closer) in self.0.streams().values() {
                let is_stalled =
                    waker.waiting_since().is_some_and(|since| since + self.0.stall_time_max < now);
                if is_stalled && !closer.closing().is_cancelled() {
                    tracing::info!("closed the connection of a reader that accepted nothing");
                    closer.close();
                }
            }
        }
    }

    /// Tracks `stream`, if it has a connection to close.
    pub(super) fn track<S: Unpin>(&self, stream: S, closer: Option<Closer>) -> StallTracked<S> {
        let poll_waker = Arc::new(PollWaker::new());
        let record = closer.map(|closer| {
            let key = self.0.next_key.fetch_add(1, Ordering::Relaxed);
            self.0.streams().insert(key, (Arc::clone(&poll_waker), closer));
            StallRecord { records: Arc::clone(&self.0), key }
        });
        let waker = Waker::from(Arc::clone(&poll_waker));
        StallTracked { stream, poll_waker, waker, _record: record }
    }
}

impl StallRecords {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, (Arc<PollWaker>, Closer)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollWaker {
    /// A new stream waits to be polled at once.
    fn new() -> Self {
        let waiting_since = Mutex::new(Some(Instant::now()));
        Self { task: Mutex::new(Waker::noop().clone()), waiting_since }
    }

    /// Records that `task` polls the stream now.
    fn polled_by(&self, task: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(task);
        *self.lock() = None;
    }

    /// Records that the stream waits to be polled, unless it does already.
    fn wait_for_poll(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    fn waiting_since(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for PollWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wait_for_poll();
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

/// A stream whose polls are recorded.
pub(super) struct StallTracked<S> {
    stream: S,
    poll_waker: Arc<PollWaker>,
    /// Wakes `poll_waker`.
    waker: Waker,
    _record: Option<StallRecord>,
}

impl<S: Stream + Unpin> Stream for StallTracked<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        this.poll_waker.polled_by(cx.waker());
        let polled = Pin::new(&mut this.stream).poll_next(&mut Context::from_waker(&this.waker));
        if polled.is_ready() {
            // The transport should poll for the next message at once.
            this.poll_waker.wait_for_poll();
        }
        polled
    }
}

/// A stream's entry in the records. Dropping it removes the entry.
struct StallRecord {
    records: Arc<StallRecords>,
    key: u64,
}

impl Drop for StallRecord {
    fn drop(&mut self) {
        self.records.streams().remove(&self.key);
    }
}
