//! Lists of users and of posts, as somebody sees them: newest first, a page at a time.

use std::sync::Arc;

use super::hydrate::Viewer;
use super::results::{ListedUser, Page, PagePosition, PostList, PostView, UserList};
use crate::model::{Post, PostId, Revision, UserId};
use crate::state::graph::Edge;
use crate::state::reads::{MissingEvent, ReadError, Reading};
use crate::state::records::Order;
use crate::state::records::record::{Position, Subject, Table, Value};
use crate::state::records::scan::RecordScan;
use crate::state::{State, TimelineEvent};

/// Which page of which list.
#[derive(Clone, Debug)]
pub struct ListQuery<L> {
    /// Who reads it.
    pub viewer: UserId,
    /// The list.
    pub list: L,
    /// Where the page begins; `None` for the newest.
    pub place: Option<PagePosition>,
    /// How many items at most.
    pub items_max: usize,
}

/// Where the users of a list are known from.
enum UsersIn {
    /// These, in memory.
    Edges(Vec<Edge>),
    /// The values of these facts.
    Records(Table, Subject),
}

impl State {
    /// A page of a list of users, without those whom the viewer does not see; `None` if the list is
    /// not in memory. Says nothing of whether the viewer may read the list.
    #[must_use]
    pub fn users_at_hand(&self, query: &ListQuery<UserList>) -> Option<Page<ListedUser>> {
        let (at, before) = self.place(query.place);
        match self.users_in(query) {
            UsersIn::Edges(edges) => Some(self.page_of_edges(edges, (at, before), query.items_max)),
            UsersIn::Records(..) => None,
        }
    }

    /// Whether an answer or a quote was not deleted, and `viewer` sees its author.
    pub(crate) fn stands(&self, viewer: Viewer<'_>, post: Position, author: Value) -> bool {
        self.hidden.retracted(post.revision()).is_none() && viewer.sees(author.user())
    }

    /// The posts named `ids`, which were all there a moment ago; `None` if one was deleted since.
    pub(crate) fn all_posts(&self, ids: &[PostId]) -> Result<Option<Vec<Arc<Post>>>, ReadError> {
        let revisions: Vec<_> = ids.iter().map(|id| id.revision()).collect();
        let mut posts = Vec::with_capacity(revisions.len());
        for (happened, &revision) in self.happened(&revisions)?.into_iter().zip(&revisions) {
            match happened {
                Some(TimelineEvent::Post(post)) => posts.push(post),
                None => return Ok(None),
                Some(_) => return Err(MissingEvent { revision }.into()),
            }
        }
        Ok(Some(posts))
    }

    /// The position that a listing began with, and what the page has to be older than.
    pub(crate) fn place(&self, place: Option<PagePosition>) -> (Revision, Revision) {
        match place {
            Some(PagePosition { before, at }) => (at, before.min(at.next())),
            None => {
                let at = self.applied();
                (at, at.next())
            }
        }
    }

    /// The facts about something at places before `before`, newest first, for a page.
    pub(crate) fn newest(
        &self,
        about: (Table, Subject),
        before: Revision,
        items_max: usize,
    ) -> RecordScan<'_> {
        let expected = items_max.saturating_add(1);
        RecordScan::new(&self.facts, about, Order::NewestFirst, before.into(), expected)
    }

    fn users_in(&self, query: &ListQuery<UserList>) -> UsersIn {
        let viewer = self.ids.get(&query.viewer);
        match &query.list {
            UserList::Likes(post) => UsersIn::Records(Table::Likes, (*post).into()),
            UserList::Reposts(post) => UsersIn::Records(Table::Reposts, (*post).into()),
            UserList::Followers(user) => match self.ids.get(user) {
                Some(user) => UsersIn::Records(Table::Followers, user.into()),
                None => UsersIn::Edges(Vec::new()),
            },
            UserList::Following(user) => {
                let user = self.ids.get(user);
                let edges = user.map(|user| self.graph.edges(user).iter().collect());
                let mut edges: Vec<_> = edges.unwrap_or_default();
                let seen_by = self.viewer(&query.viewer);
                edges.retain(|edge| seen_by.sees(edge.followee));
                UsersIn::Edges(edges)
            }
            UserList::Blocks => {
                UsersIn::Edges(viewer.map_or_else(Vec::new, |viewer| self.hidden.blocks(viewer)))
            }
            UserList::Mutes => {
                UsersIn::Edges(viewer.map_or_else(Vec::new, |viewer| self.hidden.mutes(viewer)))
            }
        }
    }

    fn page_of_edges(
        &self,
        mut edges: Vec<Edge>,
        (at, before): (Revision, Revision),
        items_max: usize,
    ) -> Page<ListedUser> {
        edges.retain(|edge| edge.since < before);
        edges.sort_unstable_by_key(|edge| std::cmp::Reverse(edge.since));
        let more = edges.len() > items_max;
        edges.truncate(items_max);
        let next = edges.last().filter(|_| more).map(|edge| edge.since);
        let named =
            |edge: Edge| ListedUser { user: self.ids.name(edge.followee), since: edge.since };
        page(edges.into_iter().map(named).collect(), next, at)
    }
}

impl Reading<'_> {
    /// As [`State::users_at_hand`]. May read the index.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn users(&self, query: &ListQuery<UserList>) -> Result<Page<ListedUser>, ReadError> {
        let (at, before) = self.place(query.place);
        let (table, subject) = match self.users_in(query) {
            UsersIn::Edges(edges) => {
                return Ok(self.page_of_edges(edges, (at, before), query.items_max));
            }
            UsersIn::Records(table, subject) => (table, subject),
        };
        let viewer = self.viewer(&query.viewer);
        let rows = self.newest((table, subject), before, query.items_max).map(placed);
        let listed = self.part_of(rows, query.items_max, |since, value: Value| {
            let user = value.user();
            viewer.sees(user).then_some((since, user))
        })?;
        let named = |(since, user)| ListedUser { user: self.ids.name(user), since };
        Ok(page(listed.items.into_iter().map(named).collect(), listed.next, at))
    }

    /// A page of a list of posts, without those that were deleted or whose author the viewer does
    /// not see. Says nothing of whether the viewer may read the list. May read the log and the
    /// index.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn answers(&self, query: &ListQuery<PostList>) -> Result<Page<PostView>, ReadError> {
        let about: (Table, Subject) = match query.list {
            PostList::Replies(post) => (Table::Replies, post.into()),
            PostList::Quotes(post) => (Table::Quotes, post.into()),
        };
        let (at, before) = self.place(query.place);
        loop {
            let viewer = self.viewer(&query.viewer);
            let rows = self.newest(about, before, query.items_max).map(placed);
            let listed = self.part_of(rows, query.items_max, |place, author: Value| {
                self.stands(viewer, place.into(), author).then_some(PostId::from_revision(place))
            })?;
            // Else the page would be short.
            if let Some(posts) = self.all_posts(&listed.items)? {
                return Ok(page(self.views_for(viewer, posts)?, listed.next, at));
            }
        }
    }
}

/// A row with its place as a revision.
pub(crate) fn placed<E>(row: Result<(Position, Value), E>) -> Result<(Revision, Value), E> {
    row.map(|(place, value)| (place.revision(), value))
}

/// A page of a listing that began at `at`, and goes on before `next`.
pub(crate) fn page<T>(items: Vec<T>, next: Option<Revision>, at: Revision) -> Page<T> {
    Page { items, next: next.map(|before| PagePosition { before, at }), at }
}
