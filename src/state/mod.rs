//! The view: what the log says at a revision, in memory, for every read.
//!
//! One applier writes it, in the order of the log; everybody else reads. The maps are keyed by
//! small numbers instead of names. No guard of a map leaves the file that owns the map, and none
//! is held while another map is touched or anything is awaited.
//!
//! Feeds are not stored. A feed is merged from the revisions of its authors when it is read
//! ([`query`](crate::query)), so there is nothing to fill in after a follow and nothing to take out after an
//! unfollow.

mod applied;
pub(crate) mod apply_right;
pub(crate) mod caches;
mod dense;
pub(crate) mod graph;
pub(crate) mod reads;
pub(crate) mod records;
pub(crate) mod reducer;
mod relations;
pub(crate) mod requests;
pub(crate) mod timelines;
pub(crate) mod users;
pub(crate) mod visibility;
mod watermark;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::state::reads::ReadPool;
use apply_right::ApplyTurn;
use caches::counts::CountCache;
use caches::posts::PostCache;
use graph::Graph;
use records::Records;
use reducer::memory::MemoryStore;
use requests::RequestIds;
use timelines::changes::ChangeTimelines;
use timelines::posts::PostTimelines;
use users::Users;
use visibility::Visibility;
use watermark::Watermark;

pub use applied::{AppliedEvent, NewNotification};
pub use caches::posts::{Repost, TimelineEvent};
pub use reads::{MissingEvent, ReadError, Reading};
pub use records::record::NotificationKind;
pub use reducer::index::IndexStore;

use crate::config::Limits;
use crate::model::{Change, Event, Post, RequestId, Revision, UserId};
use crate::storage::{self, Log};

/// What the log says, as of the revision that was applied last.
#[derive(Debug)]
pub struct State {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) ids: Users,
    pub(crate) graph: Graph,
    pub(crate) hidden: Visibility,
    pub(crate) facts: Records,
    pub(crate) tallies: CountCache,
    /// Who published what.
    pub(crate) posts_of: PostTimelines,
    /// Who changed whom they follow.
    pub(crate) changes_of: ChangeTimelines,
    pub(crate) posts: PostCache,
    pub(crate) requests: RequestIds,
    pub(crate) reads: ReadPool,
    /// Up to where unseen notifications are counted.
    pub(crate) unseen_count_max: usize,
    /// How much a page looks through.
    pub(crate) looks_max: usize,
    pub(crate) applied: Watermark,
    pub(crate) turn: ApplyTurn,
}

impl State {
    /// The view of an empty log, all of it in memory. `log` is where the bodies of posts are read
    /// from.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, limits: &Limits) -> Self {
        let random = || RandomState::new().hash_one(0);
        Self::empty(log, [random(), random()], limits)
    }

    fn empty(log: Arc<dyn Log>, hash_key: [u64; 2], limits: &Limits) -> Self {
        Self {
            ids: Users::default(),
            graph: Graph::default(),
            hidden: Visibility::default(),
            facts: Records::default(),
            tallies: CountCache::new(limits.count_cache_posts_max),
            posts_of: PostTimelines::new(limits.recent_revisions_per_author_max),
            changes_of: ChangeTimelines::default(),
            posts: PostCache::new(Arc::clone(&log), limits.post_cache_bytes_max),
            requests: RequestIds::new(limits.request_id_retention, hash_key),
            reads: ReadPool::new(limits.concurrent_reads_max),
            unseen_count_max: limits.unseen_count_max,
            looks_max: limits.page_scan_entries_max.max(1),
            applied: Watermark::default(),
            turn: ApplyTurn::default(),
            log,
        }
    }

    /// The log behind it.
    #[must_use]
    pub fn log(&self) -> &dyn Log {
        self.log.as_ref()
    }

    /// Takes in `event`, the one after the last applied. Gives what it is to others than those whom it
    /// names.
    ///
    /// # Errors
    /// The index is damaged or cannot be read. The view must not be used further.
    ///
    /// # Panics
    /// The event is not the next one, or another is being taken in.
    pub fn apply(&self, revision: Revision, event: &Event) -> Result<AppliedEvent, storage::Error> {
        let by = &*self.turn.take();
        let applied = self.applied();
        assert_eq!(revision, applied.next(), "the view is at {applied}");
        let mut memory = MemoryStore { view: self, by, applied: AppliedEvent::default() };
        reducer::apply(&mut memory, revision, event)?;
        let mut applied = memory.applied;
        if let Some(TimelineEvent::Post(post)) = self.posts.take_in(revision, event) {
            self.tallies.begin(post.id(), by);
            applied.post = Some(post);
        }
        match &event.change {
            Change::Delete { post, .. } => self.posts.forget(post.id.revision()),
            Change::Follow { follower, followee } => {
                applied.is_muted = self.muted_since(follower, followee).is_some();
            }
            _ => {}
        }
        self.applied.advance(revision, by);
        Ok(applied)
    }

    /// Wakes those who wait in [`State::reached`]. Called after a batch was applied.
    pub fn announce(&self) {
        self.applied.announce();
    }

    /// The revision applied last: every read sees all up to it.
    #[must_use]
    pub fn applied(&self) -> Revision {
        self.applied.get()
    }

    /// Waits until `revision` is applied.
    pub async fn reached(&self, revision: Revision) {
        self.applied.reached(revision).await;
    }

    /// The revision at which `follower` began to follow `followee`, if they do.
    #[must_use]
    pub fn edge(&self, follower: &UserId, followee: &UserId) -> Option<Revision> {
        self.graph.edge(self.ids.get(follower)?, self.ids.get(followee)?)
    }

    /// How many `follower` follows.
    #[must_use]
    pub fn followee_count(&self, follower: &UserId) -> usize {
        self.ids.get(follower).map_or(0, |follower| self.graph.followee_count(follower))
    }

    /// Whom `follower` follows, in no particular order.
    #[must_use]
    pub fn followees(&self, follower: &UserId) -> Vec<UserId> {
        let Some(follower) = self.ids.get(follower) else { return Vec::new() };
        let edges = self.graph.edges(follower);
        edges.iter().map(|edge| self.ids.name(edge.followee)).collect()
    }

    /// How many follow `followee`.
    #[must_use]
    pub fn follower_count(&self, followee: &UserId) -> usize {
        self.ids.get(followee).map_or(0, |followee| self.graph.follower_count(followee))
    }

    /// Who follows `followee`: at most `max`, those that the log named after `after` or all, in
    /// the order in which the log first named them.
    #[must_use]
    pub fn followers(&self, followee: &UserId, after: Option<&UserId>, max: usize) -> Vec<UserId> {
        let Some(followee) = self.ids.get(followee) else { return Vec::new() };
        let after = after.and_then(|after| self.ids.get(after));
        let followers = self.graph.followers(followee, after, max);
        followers.into_iter().map(|follower| self.ids.name(follower)).collect()
    }

    /// The post that `author` made with `request_id`, if that is still remembered.
    #[must_use]
    pub fn requested(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        self.requests.get(author, request_id)
    }

    /// The post at `revision` if it is at hand without reading the log, and was not deleted since.
    #[must_use]
    pub fn cached_post(&self, revision: Revision) -> Option<Arc<Post>> {
        self.posts.cached_post(revision).filter(|_| self.hidden.retracted(revision).is_none())
    }

    /// The post or repost at `revision` if it is at hand, and not gone since.
    #[must_use]
    pub fn happened_at_hand(&self, revision: Revision) -> Option<TimelineEvent> {
        self.posts.cached(revision).filter(|_| self.hidden.retracted(revision).is_none())
    }

    /// As [`State::published`], if the post is cached.
    #[must_use]
    pub fn published_at_hand(&self, revision: Revision) -> Option<Arc<Post>> {
        self.posts.cached_post(revision)
    }

    /// The event at `revision`, whatever became of it; `None` if the view has not come so far. ReadPool
    /// the log, which blocks for a moment.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn event(&self, revision: Revision) -> Result<Option<Event>, ReadError> {
        if !self.has_applied(revision) {
            return Ok(None);
        }
        Ok(Some(self.log.get(revision)?.ok_or(MissingEvent { revision })?))
    }

    /// The post that was published at `revision`, which the view has come to; `None` if it was
    /// erased since. For whoever published it; others read [`State::happened`]. May read the log,
    /// which blocks for a moment.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn published(&self, revision: Revision) -> Result<Option<Arc<Post>>, ReadError> {
        self.posts.get(revision)
    }

    /// What happened at each of `revisions`, which are to be few and places that the view has come
    /// to: `None` for a post or repost that is gone since. May read the log, which blocks for a
    /// moment.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn happened(
        &self,
        revisions: &[Revision],
    ) -> Result<Vec<Option<TimelineEvent>>, ReadError> {
        let happened = self.posts.get_many(revisions)?;
        // Asked after it was read: a cache may give what was deleted meanwhile.
        let is_there = |&revision: &Revision| self.hidden.retracted(revision).is_none();
        let there = |(happened, revision)| is_there(revision).then_some(happened);
        Ok(happened.into_iter().zip(revisions).map(there).collect())
    }

    /// Whether something has happened at `revision`, as far as the view has come. To be asked of
    /// every revision that a caller names: of all others it is so.
    pub(crate) fn has_applied(&self, revision: Revision) -> bool {
        Revision::ZERO < revision && revision <= self.applied()
    }
}
