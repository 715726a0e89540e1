//! Live feeds: who is watching, what they are told, and what they missed.
//!
//! ```text
//!   applier ── dispatch ──▶ Registry: author ──▶ live followers
//!                               │  one broadcast channel per watched user
//!                               ▼
//!                           LiveStream ◀── backlog: view and log
//! ```
//!
//! A channel is a doorbell and a hot cache; the log is the truth. A stream that its channel has
//! overrun reads on in the log, and nobody can tell.
//!
//! Nothing here knows how a message is sent to a client.

mod error;
mod event;
mod registry;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use error::{CursorError, Error};
pub use event::{FeedEvent, FeedEventKind};
use registry::Registry;
pub use stream::{LiveStream, Start, Step, WatchOptions};

use crate::config::Limits;
use crate::model::{Change, Cursor, Event, Post, Revision, UserId};
use crate::view::View;

/// All live feeds of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: Arc<View>,
    limits: Limits,
    registry: Registry,
    /// Everything up to here is in the channels it belongs in.
    dispatched: AtomicU64,
    permits: Arc<Semaphore>,
    closing: CancellationToken,
}

impl Hub {
    /// No streams yet.
    #[must_use]
    pub fn new(view: Arc<View>, limits: &Limits) -> Self {
        Self(Arc::new(Shared {
            dispatched: AtomicU64::new(view.applied().get()),
            view,
            registry: Registry::new(limits),
            permits: Arc::new(Semaphore::new(limits.streams_max.min(Semaphore::MAX_PERMITS))),
            closing: CancellationToken::new(),
            limits: limits.clone(),
        }))
    }

    /// Tells the live feeds that `event` concerns. Only the applier calls this, in order, after
    /// the view has applied the event and before it applies the next; `post` is the one that the
    /// event published.
    pub fn dispatch(&self, revision: Revision, event: &Event, post: Option<Arc<Post>>) {
        let registry = &self.0.registry;
        if registry.is_watched()
            && let Some(feed_event) = FeedEvent::of(revision, &event.change, post)
        {
            match &event.change {
                Change::Follow { follower, followee } => {
                    registry.follow(follower, followee, feed_event);
                }
                Change::Unfollow { follower, followee } => {
                    registry.unfollow(follower, followee, feed_event);
                }
                Change::Publish { author, .. } => registry.post(author, feed_event),
            }
        }
        self.0.dispatched.store(revision.get(), Ordering::SeqCst);
    }

    /// Opens a stream of `user`'s feed.
    ///
    /// # Errors
    /// Too many streams are open, or `start` cannot be served and `options` do not ask for a
    /// fresh snapshot instead.
    pub fn watch(
        &self,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, Error> {
        LiveStream::open(self.clone(), user, start, options)
    }

    /// Ends all streams, each with [`Step::Closing`], and those opened from now on too.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// Checks that what follows `cursor` can be served.
    ///
    /// # Errors
    /// Says why it cannot.
    pub fn check_cursor(&self, cursor: &Cursor) -> Result<(), CursorError> {
        let log = self.0.view.log();
        if cursor.log != log.id() {
            return Err(CursorError::OfAnotherLog { given: cursor.log, own: log.id() });
        }
        if cursor.needs() > log.head() {
            return Err(CursorError::BeyondHead { given: cursor.needs(), head: log.head() });
        }
        if cursor.after < log.oldest() {
            return Err(CursorError::TooOld { oldest: self.cursor_after(log.oldest()) });
        }
        Ok(())
    }

    /// The cursor of this log after `revision`.
    #[must_use]
    pub fn cursor_after(&self, revision: Revision) -> Cursor {
        Cursor::after(self.0.view.log().id(), revision)
    }

    fn dispatched(&self) -> Revision {
        Revision::new(self.0.dispatched.load(Ordering::SeqCst))
    }
}
