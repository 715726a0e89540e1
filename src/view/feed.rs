//! Reading feeds: pages of what is in them, and backlogs of what happened.
//!
//! Nothing of a feed is stored. Each read comes in two forms: one that uses only memory and says
//! when that does not do, and one that may read the index and blocks while it does.

use std::sync::Arc;

use super::authors::Found;
use super::beyond::{Beyond, FromIndex, MemoryOnly};
use super::graph::Edges;
use super::ids::UserIx;
use super::{View, merge};
use crate::log::{self, History};
use crate::model::{Mark, Revision, UserId};

/// Which page of which feed.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Whose feed.
    pub user: UserId,
    /// The page has the newest items before this.
    pub before: Revision,
    /// How many items at most.
    pub items_max: usize,
    /// Whether the user's own posts are in it.
    pub with_own: bool,
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

/// Which part of what happened to which feed.
#[derive(Clone, Debug)]
pub struct BacklogQuery {
    /// Whose feed.
    pub user: UserId,
    /// It begins after this.
    pub after: Revision,
    /// It ends with this, which must not be beyond [`View::applied`].
    pub until: Revision,
    /// What is in it.
    pub kind: BacklogKind,
    /// How many revisions at most.
    pub events_max: usize,
}

/// What can be in the backlog of a live feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogKind {
    /// What happened, as a stream without a break would have sent it.
    Events,
    /// The feed's items, whenever their authors were followed.
    Items,
}

/// Where the events of a live feed come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// What somebody published.
    Posts(UserIx),
    /// Whom somebody followed and unfollowed.
    Changes(UserIx),
}

impl View {
    /// One page of a feed; `None` if a part of it is not in memory.
    #[must_use]
    pub fn feed_page_at_hand(&self, query: &PageQuery) -> Option<FeedPage> {
        self.page(query, &MemoryOnly).ok()
    }

    /// One page of a feed. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn feed_page(&self, query: &PageQuery) -> Result<FeedPage, log::Error> {
        self.page(query, &self.beyond())
    }

    /// The revisions of a backlog, oldest first; `None` if a part of it is not in memory.
    #[must_use]
    pub fn backlog_at_hand(&self, query: &BacklogQuery) -> Option<Vec<Revision>> {
        self.read_backlog(query, &MemoryOnly).ok()
    }

    /// The revisions of a backlog, oldest first. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn backlog(&self, query: &BacklogQuery) -> Result<Vec<Revision>, log::Error> {
        self.read_backlog(query, &self.beyond())
    }

    fn beyond(&self) -> FromIndex<'_> {
        FromIndex::new(self.index().map(Arc::as_ref), &self.posts_of)
    }

    fn page<B: Beyond>(&self, query: &PageQuery, beyond: &B) -> Result<FeedPage, B::Error> {
        // Read before the edges: what they show is then at least as new.
        let applied = self.applied();
        let edges = self.edges(&query.user);
        let at = applied.max(edges.changed_at);
        let before = Mark::before(query.before.min(at.next()));

        let older = |author, before| match self.posts_of.newest_before(author, before) {
            Found::Here(found) => Ok(found),
            Found::InIndex(until) => beyond.newest_before(author, before, until),
        };
        let own = self.ids.get(&query.user).filter(|_| query.with_own);
        let authors = edges.iter().map(|edge| edge.followee).chain(own);
        let newest = authors.filter_map(|author| {
            let newest = older(author, before).transpose()?;
            Some(newest.map(|mark| (mark, author)))
        });
        let (marks, more) = merge::newest_first(newest, query.items_max, older)?;
        Ok(FeedPage { revisions: marks.into_iter().map(Mark::revision).collect(), more, at })
    }

    fn read_backlog<B: Beyond>(
        &self,
        query: &BacklogQuery,
        beyond: &B,
    ) -> Result<Vec<Revision>, B::Error> {
        let BacklogQuery { after, until, kind, .. } = *query;
        let edges = self.edges(&query.user);
        let own = self.ids.get(&query.user);
        let from_followees = edges.iter().filter_map(|edge| match kind {
            BacklogKind::Events => Some((Source::Posts(edge.followee), after.max(edge.since))),
            BacklogKind::Items if edge.since <= until => {
                Some((Source::Posts(edge.followee), after))
            }
            BacklogKind::Items => None,
        });
        let from_self = own.map(|own| (Source::Posts(own), after));
        // Most who read what they missed have changed nothing meanwhile.
        let changed = edges.changed_at > after || after < self.changes_of.loaded_until();
        let changes = own
            .filter(|_| kind == BacklogKind::Events && changed)
            .map(|own| (Source::Changes(own), after));

        let newer = |source, after| {
            let found = self.oldest_after(source, after, beyond)?;
            Ok(found.filter(|mark| mark.revision() <= until))
        };
        let oldest =
            from_followees.chain(from_self).chain(changes).filter_map(|(source, after)| {
                let oldest = newer(source, Mark::before(after.next()).previous()).transpose()?;
                Some(oldest.map(|mark| (mark, source)))
            });
        let marks = merge::oldest_first(oldest, query.events_max, newer)?;
        Ok(marks.into_iter().map(Mark::revision).collect())
    }

    fn oldest_after<B: Beyond>(
        &self,
        source: Source,
        after: Mark,
        beyond: &B,
    ) -> Result<Option<Mark>, B::Error> {
        match source {
            Source::Posts(author) => match self.posts_of.oldest_after(author, after) {
                Found::Here(found) => Ok(found),
                Found::InIndex(until) => beyond.oldest_after(History::Posts, author, after, until),
            },
            Source::Changes(user) => match self.changes_of.oldest_after(user, after) {
                (_, Found::Here(found)) => Ok(found),
                (here, Found::InIndex(until)) => {
                    let indexed = beyond.oldest_after(History::Changes, user, after, until)?;
                    Ok(indexed.or(here))
                }
            },
        }
    }

    fn edges(&self, user: &UserId) -> Edges {
        self.ids.get(user).map_or_else(Edges::default, |user| self.graph.edges(user))
    }
}
