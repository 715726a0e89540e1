//! Detects readers that accept nothing, and closes their connections. Never closes a connection
//! whose streams are idle.
//!
//! A stream whose reader grants no HTTP/2 window is not polled, so nothing inside it can detect the
//! stall. Therefore each stream records since when it waits to be polled: its waker does, before it
//! wakes the task that polls. One task checks the records. The transport takes one message in
//! advance, so a stall shows at the second message that the reader does not accept.
//!
//! Time is counted in checks, because a post to many wakes each of their streams: to read a clock
//! for each would cost more than the rest.
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

use atomic_waker::AtomicWaker;
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
    checks: Arc<CheckCount>,
    next_key: AtomicU64,
    streams: Mutex<HashMap<u64, (Arc<PollWaker>, Closer)>>,
}

/// The number of the next check, from 1.
#[derive(Debug)]
struct CheckCount(AtomicU64);

/// The waker of a stream. Records when the stream was woken, and wakes the task that polls it.
#[derive(Debug)]
struct PollWaker {
    task: AtomicWaker,
    /// The next check at that time; [`IDLE`] while the stream has nothing to send.
    waiting_since: AtomicU64,
    checks: Arc<CheckCount>,
}

/// No check has this number.
const IDLE: u64 = 0;

impl StallWatch {
    /// Closes connections with a stream that was not read for `stall_time_max` although it had a
    /// message.
    #[must_use]
    pub fn new(stall_time_max: Duration) -> Self {
        let checks = Arc::new(CheckCount(AtomicU64::new(1)));
        let (next_key, streams) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(StallRecords { stall_time_max, checks, next_key, streams }))
    }

    /// Checks the records, for ever.
    pub async fn run(self) {
        let mut checks = tokio::time::interval(self.0.stall_time_max / CHECKS_PER_STALL);
        loop {
            checks.tick().await;
            let now = self.0.checks.advance();
            for (waker, closer) in self.0.streams().values() {
                // One more check, because the first may have been due at once.
                let is_stalled = waker
                    .waiting_since()
                    .is_some_and(|since| since + u64::from(CHECKS_PER_STALL) < now);
                if is_stalled && !closer.closing().is_cancelled() {
                    tracing::info!("closed the connection of a reader that accepted nothing");
                    closer.close();
                }
            }
        }
    }

    /// Tracks `stream`, if it has a connection to close.
    pub(super) fn track<S: Unpin>(&self, stream: S, closer: Option<Closer>) -> StallTracked<S> {
        let poll_waker = Arc::new(PollWaker::new(&self.0.checks));
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

impl CheckCount {
    fn next(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a check, and gives its number.
    fn advance(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl PollWaker {
    /// A new stream waits to be polled at once.
    fn new(checks: &Arc<CheckCount>) -> Self {
        let waiting_since = AtomicU64::new(checks.next());
        Self { task: AtomicWaker::new(), waiting_since, checks: Arc::clone(checks) }
    }

    /// Records that `task` polls the stream now.
    fn polled_by(&self, task: &Waker) {
        self.task.register(task);
        self.waiting_since.store(IDLE, Ordering::Relaxed);
    }

    /// Records that the stream waits to be polled, unless it does already.
    fn wait_for_poll(&self) {
        if self.waiting_since().is_none() {
            self.waiting_since.store(self.checks.next(), Ordering::Relaxed);
        }
    }

    fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|&since| since != IDLE)
    }
}

impl Wake for PollWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wait_for_poll();
        self.task.wake();
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
