//! The state: the result of all events of the log up to a revision, in memory.
//!
//! One applier writes it, in the order of the log; all others read. The maps are keyed by user
//! numbers instead of names. No guard of a map leaves the file that owns the map, and none is held
//! while another map is accessed or anything is awaited.
//!
//! The state never stores a feed. A query merges a feed from the timelines of its authors
//! ([`query`](crate::query)), so a follow inserts nothing into a feed and an unfollow removes
//! nothing.

mod applied;
mod apply_right;
pub(crate) mod caches;
mod dense;
mod error;
pub(crate) mod graph;
mod metrics;
pub(crate) mod records;
mod reducer;
mod relations;
mod requests;
pub(crate) mod timelines;
pub(crate) mod users;
pub(crate) mod visibility;
mod watermark;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

pub use applied::{AppliedEvent, NewNotification};
use apply_right::ApplyTurn;
use caches::posts::PostCache;
pub use caches::posts::{Repost, TimelineEvent};
pub use error::{MissingEvent, ReadError};
use graph::Graph;
use records::Records;
pub use records::record::NotificationKind;
pub use reducer::check::IndexCheck;
pub use reducer::index::IndexStore;
use reducer::memory::MemoryStore;
pub use relations::{Evidence, Lookup};
use requests::RequestIds;
use timelines::changes::ChangeTimelines;
use timelines::posts::PostTimelines;
use users::Users;
use visibility::Visibility;
use watermark::Watermark;

use crate::config::Limits;
use crate::model::{
    Change, Cursor, Epochs, Event, LogExtent, LogTime, Relation, RequestId, Revision, UserId,
};
use crate::storage::{self, Index, Log};

/// The state at the revision that was applied last.
#[derive(Debug)]
pub struct State {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) users: Users,
    pub(crate) graph: Graph,
    pub(crate) visibility: Visibility,
    pub(crate) records: Records,
    pub(crate) post_timelines: PostTimelines,
    pub(crate) change_timelines: ChangeTimelines,
    pub(crate) posts: PostCache,
    requests: RequestIds,
    applied: Watermark,
    turn: ApplyTurn,
}

impl State {
    /// The state of an empty log, without an index. Posts that are not cached are read from `log`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, limits: &Limits) -> Self {
        let random = || RandomState::new().hash_one(0);
        Self::empty(log, [random(), random()], limits)
    }

    fn empty(log: Arc<dyn Log>, hash_key: [u64; 2], limits: &Limits) -> Self {
        Self {
            users: Users::default(),
            graph: Graph::default(),
            visibility: Visibility::default(),
            records: Records::default(),
            post_timelines: PostTimelines::new(limits.recent_revisions_per_author_max),
            change_timelines: ChangeTimelines::default(),
            posts: PostCache::new(Arc::clone(&log), limits.post_cache_bytes_max),
            requests: RequestIds::new(limits.request_id_retention, hash_key),
            applied: Watermark::default(),
            turn: ApplyTurn::default(),
            log,
        }
    }

    /// Applies `event`, the next one of the log, and returns its effects.
    ///
    /// # Errors
    /// The index is damaged or cannot be read. The state must not be used further.
    ///
    /// # Panics
    /// The event is not the next one, or another event is being applied.
    pub fn apply(&self, revision: Revision, event: &Event) -> Result<AppliedEvent, storage::Error> {
        let by = &*self.turn.acquire();
        let applied = self.applied();
        assert_eq!(revision, applied.next(), "the state is at {applied}");
        let mut memory = MemoryStore { state: self, by, applied: AppliedEvent::default() };
        reducer::apply(&mut memory, revision, event)?;
        let mut applied = memory.applied;
        applied.post = self.posts.insert_new(&self.users, revision, event, by);
        match &event.change {
            Change::Delete { post, .. } => self.posts.forget(&self.users, post.id.revision()),
            Change::Follow { follower, followee } => {
                let mute = Relation::Mute(follower.clone(), followee.clone());
                applied.is_muted = self.since(&mute).is_some();
            }
            _ => {}
        }
        self.applied.advance(revision, event.log_time, by);
        Ok(applied)
    }

    /// Wakes the callers of [`State::reached`]. To be called after each applied batch.
    pub fn announce(&self) {
        self.applied.announce();
    }

    /// The revision that was applied last. Every read sees all events up to it.
    #[must_use]
    pub fn applied(&self) -> Revision {
        self.applied.get()
    }

    /// Waits until `revision` is applied.
    pub async fn reached(&self, revision: Revision) {
        self.applied.reached(revision).await;
    }

    /// The log's own time of the newest event that this process has applied; the beginning if it has applied none.
    pub(crate) fn log_time(&self) -> LogTime {
        self.applied.log_time()
    }

    /// Whether an event at `revision` is applied. False for [`Revision::ZERO`].
    pub(crate) fn has_applied(&self, revision: Revision) -> bool {
        Revision::ZERO < revision && revision <= self.applied()
    }

    /// The log's id, and its oldest and newest revisions.
    #[must_use]
    pub fn log_extent(&self) -> LogExtent {
        LogExtent { id: self.log.id(), oldest: self.log.oldest(), head: self.log.head() }
    }

    /// Which opening of the log appended which events.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        self.log.epochs()
    }

    /// The cursor of this log after `revision`.
    #[must_use]
    pub fn cursor_after(&self, revision: Revision) -> Cursor {
        Cursor::after(self.log.id(), revision)
    }

    /// The index that has the older records and marks; `None` if memory has all.
    #[must_use]
    pub fn index(&self) -> Option<&Arc<Index>> {
        self.records.index()
    }

    /// The revision of the post that `author` published with `request_id`; `None` if there is none
    /// or its retention has ended. The hashes of two requests can be equal, so the caller compares
    /// the event.
    #[must_use]
    pub fn requested(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        self.requests.get(author, request_id)
    }

    /// Whether the post at `revision` was deleted, or the repost removed.
    pub(crate) fn is_retracted(&self, revision: Revision) -> bool {
        self.visibility.retracted(revision).is_some()
    }
}
