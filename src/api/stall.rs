//! Readers that accept nothing: noticed, and their connections closed.
//!
//! A stream whose reader grants no window is not polled, so no timer inside it can fire. Here each
//! stream notes when it was polled and when it wants to be polled again, and one task looks over
//! the notes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

/// How often the notes are looked over, as a part of the time that a reader has.
const LOOKS_PER_STALL: u32 = 6;

/// Closes a connection, from wherever. Cheap to clone; in the extensions of every request that
/// came over it.
#[derive(Clone, Debug)]
pub struct Closer(pub CancellationToken);

/// The notes of all open streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StallWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stall_max: Duration,
    next_key: AtomicU64,
    streams: Mutex<HashMap<u64, (Note, Closer)>>,
}

/// By when a stream should be polled again.
#[derive(Clone, Debug)]
pub(super) struct Note(Arc<Mutex<Instant>>);

impl StallWatch {
    /// Closes connections with a stream that was not read for `stall_max` although it had
    /// something to send.
    #[must_use]
    pub fn new(stall_max: Duration) -> Self {
        let streams = Mutex::default();
        Self(Arc::new(Shared { stall_max, next_key: AtomicU64::new(0), streams }))
    }

    /// Looks over the notes, for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(self.0.stall_max / LOOKS_PER_STALL);
        loop {
            looks.tick().await;
            let now = Instant::now();
            for (note, closer) in self.0.streams().values() {
                if note.get() + self.0.stall_max < now && !closer.0.is_cancelled() {
                    tracing::info!("a reader accepted nothing for too long: connection closed");
                    closer.0.cancel();
                }
            }
        }
    }

    /// Watches over `stream`, which tells in `note` when it will next have something to send.
    pub(super) fn guard<S>(&self, stream: S, note: Note, closer: Option<Closer>) -> Guarded<S> {
        let watched = closer.map(|closer| {
            let key = self.0.next_key.fetch_add(1, Ordering::Relaxed);
            self.0.streams().insert(key, (note.clone(), closer));
            Watched { shared: Arc::clone(&self.0), key }
        });
        Guarded { stream: Box::pin(stream), note, _watched: watched }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, (Note, Closer)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// To be polled at once.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// There will be something to send at `at`, or before.
    pub(super) fn set(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream under watch.
pub(super) struct Guarded<S> {
    stream: Pin<Box<S>>,
    note: Note,
    _watched: Option<Watched>,
}

impl<S: Stream> Stream for Guarded<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = self.stream.as_mut().poll_next(cx);
        if polled.is_ready() {
            // Whoever took this is to ask for the next at once.
            self.note.set(Instant::now());
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
