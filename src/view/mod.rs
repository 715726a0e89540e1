//! The view: what the log says at a revision, in memory, for every read.
//!
//! One applier writes it, in the order of the log; everybody else reads. The maps are keyed by
//! small numbers instead of names. No guard of a map leaves the file that owns the map, and none
//! is held while another map is touched or anything is awaited.
//!
//! Feeds are not stored. A feed is merged from the revisions of its authors when it is read
//! ([`merge`]), so there is nothing to fill in after a follow and nothing to take out after an
//! unfollow.

mod authors;
mod graph;
mod ids;
pub mod merge;
mod posts;
mod requests;
mod watermark;

use std::sync::Arc;

use authors::Authors;
use graph::{Edges, Graph};
use ids::{Ids, UserIx};
use posts::Posts;
use requests::Requests;
use watermark::Watermark;

use crate::config::Limits;
use crate::log::{self, Log};
use crate::model::{Change, Event, Post, RequestId, Revision, UserId};

/// What the log says, as of the revision that was applied last.
#[derive(Debug)]
pub struct View {
    log: Arc<dyn Log>,
    ids: Ids,
    graph: Graph,
    /// Who published what.
    posts_of: Authors,
    /// Who changed whom they follow.
    changes_of: Authors,
    posts: Posts,
    requests: Requests,
    applied: Watermark,
}

/// A page of a feed.
#[derive(Debug)]
pub struct FeedPage {
    /// The revisions of its items, newest first.
    pub revisions: Vec<Revision>,
    /// Whether older items follow.
    pub more: bool,
    /// The position that the page shows: all up to it, and nothing after it.
    pub at: Revision,
}

/// What can be in the backlog of a live feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogKind {
    /// What happened, as a stream without a break would have sent it.
    Events,
    /// The feed's items, whenever their authors were followed.
    Items,
}

impl View {
    /// The view of an empty log. `log` is where the bodies of posts are read from.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, limits: &Limits) -> Self {
        Self {
            ids: Ids::default(),
            graph: Graph::default(),
            posts_of: Authors::default(),
            changes_of: Authors::default(),
            posts: Posts::new(Arc::clone(&log), limits.post_cache_bytes),
            requests: Requests::new(limits.request_id_kept),
            applied: Watermark::default(),
            log,
        }
    }

    /// The log behind it.
    #[must_use]
    pub fn log(&self) -> &dyn Log {
        self.log.as_ref()
    }

    /// Takes in `event`, the one after the last applied. Only the applier calls this. Gives the
    /// post if it published one.
    pub fn apply(&self, revision: Revision, event: &Event) -> Option<Arc<Post>> {
        let post = match &event.change {
            Change::Follow { follower, followee } => {
                let follower = self.ids.intern(follower);
                self.graph.insert(follower, self.ids.intern(followee), revision);
                self.changes_of.push(follower, revision);
                None
            }
            Change::Unfollow { follower, followee } => {
                let follower = self.ids.intern(follower);
                self.graph.remove(follower, self.ids.intern(followee), revision);
                self.changes_of.push(follower, revision);
                None
            }
            Change::Publish { author, text, request_id } => {
                if let Some(request_id) = request_id {
                    self.requests.insert(author, request_id, revision, event.time);
                }
                let post = Arc::new(Post {
                    revision,
                    author: author.clone(),
                    text: text.clone(),
                    time: event.time,
                });
                self.posts.insert(&post);
                self.posts_of.push(self.ids.intern(author), revision);
                Some(post)
            }
        };
        self.applied.advance(revision);
        post
    }

    /// Wakes those who wait in [`View::reached`]. Called after a batch was applied.
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
        let edges = self.edges(follower);
        edges.list.iter().map(|edge| self.ids.name(edge.followee)).collect()
    }

    /// The post that `author` made with `request_id`, if that is still remembered.
    #[must_use]
    pub fn requested(&self, author: &UserId, request_id: &RequestId) -> Option<Revision> {
        self.requests.get(author, request_id)
    }

    /// The post at `revision` if it is at hand without reading the log.
    #[must_use]
    pub fn cached_post(&self, revision: Revision) -> Option<Arc<Post>> {
        self.posts.cached(revision)
    }

    /// The post at `revision`, if there is one there. May read the log, which blocks for a moment.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn post(&self, revision: Revision) -> Result<Option<Arc<Post>>, log::Error> {
        self.posts.get(revision)
    }

    /// One page of `user`'s feed: the newest items before `before`, at most `items_max`.
    #[must_use]
    pub fn feed_page(
        &self,
        user: &UserId,
        before: Revision,
        items_max: usize,
        with_own: bool,
    ) -> FeedPage {
        // Read before the edges: what they show is then at least as new.
        let applied = self.applied();
        let edges = self.edges(user);
        let at = applied.max(edges.changed_at);
        let before = before.min(at.next());

        let own = self.ids.get(user).filter(|_| with_own);
        let authors = edges.list.iter().map(|edge| edge.followee).chain(own);
        let newest = authors
            .filter_map(|author| Some((self.posts_of.newest_before(author, before)?, author)));
        let (revisions, more) = merge::newest_first(newest, items_max, |author, revision| {
            self.posts_of.newest_before(author, revision)
        });
        FeedPage { revisions, more, at }
    }

    /// What concerns `user`'s live feed in (`after`, `until`], oldest first, at most `events_max`.
    /// `until` must not be beyond [`View::applied`].
    #[must_use]
    pub fn backlog(
        &self,
        user: &UserId,
        after: Revision,
        until: Revision,
        kind: BacklogKind,
        events_max: usize,
    ) -> Vec<Revision> {
        let edges = self.edges(user);
        let own = self.ids.get(user);
        let from_followees = edges.list.iter().filter_map(|edge| match kind {
            BacklogKind::Events => Some((Source::Posts(edge.followee), after.max(edge.since))),
            BacklogKind::Items if edge.since <= until => {
                Some((Source::Posts(edge.followee), after))
            }
            BacklogKind::Items => None,
        });
        let from_self = own.map(|own| (Source::Posts(own), after));
        let changes =
            own.filter(|_| kind == BacklogKind::Events).map(|own| (Source::Changes(own), after));

        let oldest = from_followees
            .chain(from_self)
            .chain(changes)
            .filter_map(|(source, after)| Some((self.oldest_after(source, after, until)?, source)));
        merge::oldest_first(oldest, events_max, |source, revision| {
            self.oldest_after(source, revision, until)
        })
    }

    fn oldest_after(&self, source: Source, after: Revision, until: Revision) -> Option<Revision> {
        let revision = match source {
            Source::Posts(author) => self.posts_of.oldest_after(author, after),
            Source::Changes(user) => self.changes_of.oldest_after(user, after),
        };
        revision.filter(|&revision| revision <= until)
    }

    fn edges(&self, user: &UserId) -> Edges {
        self.ids.get(user).map_or_else(Edges::default, |user| self.graph.edges(user))
    }
}

/// Where the events of a live feed come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// What somebody published.
    Posts(UserIx),
    /// Whom somebody followed and unfollowed.
    Changes(UserIx),
}
