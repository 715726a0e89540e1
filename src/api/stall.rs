//! Readers that accept nothing: noticed, and their connections closed.
//!
//! A stream whose reader grants no window is not polled, so nothing inside of it can notice. Here
//! each stream notes since when it wants to be polled: its own wake-up says so, on the way to the
//! task that should poll. One task looks over the notes. The transport takes one message ahead, so
//! it is the second that nobody takes which tells.
//!
//! ```text
//!             polled, nothing there              an event, or the heartbeat
//!   ┌────────▶ no wish ──────────────────────────────────▶ wants to be polled since …
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

/// How often the notes are looked over, as a part of the time that a reader has.
const LOOKS_PER_STALL: u32 = 6;

/// Ends a connection, from wherever. Cheap to clone; in the extensions of every request that came
/// over it.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// Also cancelled when it is to be closed at once, so that one wait is enough.
    retirement: CancellationToken,
    close: CancellationToken,
}

impl Closer {
    /// Has the client go elsewhere: streams are ended with their cursors, calls under way are
    /// answered, and the connection is closed then, or when the time for that is up.
    pub fn retire(&self) {
        self.0.retirement.cancel();
    }

    /// What is cancelled when the connection is to end, in order or at once.
    #[must_use]
    pub fn retirement(&self) -> &CancellationToken {
        &self.0.retirement
    }

    /// Closes the connection at once, whatever is under way.
    pub fn close(&self) {
        self.0.close.cancel();
        self.0.retirement.cancel();
    }

    /// What is cancelled when the connection is to end at once, before [`Closer::retirement`] is.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.0.close
    }
}

/// The notes of all open streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StallWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stall_time_max: Duration,
    next_key: AtomicU64,
    streams: Mutex<HashMap<u64, (Arc<Bell>, Closer)>>,
}

/// Passes a stream's wake-up on to the task that polls it, and notes when that was.
#[derive(Debug)]
struct Bell {
    task: Mutex<Waker>,
    wants_poll_since: Mutex<Option<Instant>>,
}

impl StallWatch {
    /// Closes connections with a stream that was not read for `stall_time_max` although it had
    /// something to send.
    #[must_use]
    pub fn new(stall_time_max: Duration) -> Self {
        let streams = Mutex::default();
        Self(Arc::new(Shared { stall_time_max, next_key: AtomicU64::new(0), streams }))
    }

    /// Looks over the notes, for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(self.0.stall_time_max / LOOKS_PER_STALL);
        loop {
            looks.tick().await;
            let now = Instant::now();
            for (bell, closer) in self.0.streams().values() {
                let is_stalled = bell
                    .wants_poll_since()
                    .is_some_and(|since| since + self.0.stall_time_max < now);
                if is_stalled && !closer.closing().is_cancelled() {
                    tracing::info!("a reader accepted nothing for too long: connection closed");
                    closer.close();
                }
            }
        }
    }

    /// Watches over `stream`.
    pub(super) fn guard<S: Unpin>(&self, stream: S, closer: Option<Closer>) -> Guarded<S> {
        let bell = Arc::new(Bell::new());
        let watched = closer.map(|closer| {
            let key = self.0.next_key.fetch_add(1, Ordering::Relaxed);
            self.0.streams().insert(key, (Arc::clone(&bell), closer));
            Watched { shared: Arc::clone(&self.0), key }
        });
        let waker = Waker::from(Arc::clone(&bell));
        Guarded { stream, bell, waker, _watched: watched }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Bell>, Closer)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    /// Of a stream that wants to be polled at once.
    fn new() -> Self {
        let wants_poll_since = Mutex::new(Some(Instant::now()));
        Self { task: Mutex::new(Waker::noop().clone()), wants_poll_since }
    }

    /// The stream is about to be polled by `task`.
    fn polled_by(&self, task: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(task);
        *self.wish() = None;
    }

    /// The stream wants to be polled, unless it said so already.
    fn wants_poll(&self) {
        self.wish().get_or_insert_with(Instant::now);
    }

    fn wants_poll_since(&self) -> Option<Instant> {
        *self.wish()
    }

    fn wish(&self) -> MutexGuard<'_, Option<Instant>> {
        self.wants_poll_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wants_poll();
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

/// A stream under watch.
pub(super) struct Guarded<S> {
    stream: S,
    bell: Arc<Bell>,
    /// Rings `bell`.
    waker: Waker,
    _watched: Option<Watched>,
}

impl<S: Stream + Unpin> Stream for Guarded<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        this.bell.polled_by(cx.waker());
        let polled = Pin::new(&mut this.stream).poll_next(&mut Context::from_waker(&this.waker));
        if polled.is_ready() {
            // Whoever took this is to ask for the next at once.
            this.bell.wants_poll();
        }
        polled
    }
}

/// A stream's place among the notes. Given up when dropped.
struct Watched {
    shared: Arc<Shared>,
    key: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.streams().remove(&self.key);
    }
}
