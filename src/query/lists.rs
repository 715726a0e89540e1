//! Pages of lists of users, newest first. A page never has a user whom the viewer does not see.

use super::results::{ListedUser, Page, PagePosition, UserList};
use super::{Error, Query, Source, Unanswered, hydrate, page, posts};
use crate::model::{Revision, UserId};
use crate::state::graph::Edge;
use crate::state::records::record::{Subject, Table, Value};

/// A page of a list of users, newest first, without the users whom the viewer does not see.
///
/// Fails with [`Error::PostNotFound`] if the viewer does not see the post; with [`Error::Blocked`]
/// if they do not see the user whose list it is; and if the position is not of this log.
#[derive(Clone, Debug)]
pub struct ListUsers {
    /// The user who reads.
    pub viewer: UserId,
    /// The list to read.
    pub list: UserList,
    /// The maximum number of items.
    pub items_max: usize,
    /// The start of the page; `None` for the newest.
    pub position: Option<PagePosition>,
}

/// The place of the users of a list.
enum UserSource {
    /// Edges in memory.
    Edges(Vec<Edge>),
    /// The values of the records of a list.
    Records(Table, Subject),
}

impl Query for ListUsers {
    type Answer = Page<ListedUser>;

    fn answer(&self, source: &Source<'_>) -> Result<Page<ListedUser>, Unanswered> {
        source.check_position(self.position)?;
        self.check_seen(source)?;
        let (at, before) = page::bounds(source.state, self.position);
        match self.users_in(source) {
            UserSource::Edges(edges) => Ok(self.page_of_edges(source, edges, at, before)),
            UserSource::Records(table, subject) => {
                let viewer = hydrate::viewer(source.state, &self.viewer);
                let rows = page::newest_first(source, (table, subject), before, self.items_max);
                let rows = rows.map(page::by_revision);
                let listed = page::collect(source, rows, self.items_max, |since, value: Value| {
                    let user = value.user();
                    viewer.sees(user).then_some((since, user))
                })?;
                let named =
                    |(since, user)| ListedUser { user: source.state.users.name(user), since };
                Ok(page::page(listed.items.into_iter().map(named).collect(), listed.next, at))
            }
        }
    }
}

impl ListUsers {
    fn check_seen(&self, source: &Source<'_>) -> Result<(), Unanswered> {
        match &self.list {
            UserList::Followers(user) | UserList::Following(user)
                if source.state.is_blocked_either_way(&self.viewer, user) =>
            {
                let (user, other) = (self.viewer.clone(), user.clone());
                Err(Error::Blocked { user, other }.into())
            }
            UserList::Likes(post) | UserList::Reposts(post) => {
                posts::check_seen(source, &self.viewer, *post)
            }
            _ => Ok(()),
        }
    }

    fn users_in(&self, source: &Source<'_>) -> UserSource {
        let state = source.state;
        let own = |graph: &crate::state::graph::Graph| {
            let viewer = state.users.get(&self.viewer);
            let edges = viewer.map(|viewer| graph.edges(viewer).iter().collect());
            UserSource::Edges(edges.unwrap_or_default())
        };
        match &self.list {
            UserList::Likes(post) => UserSource::Records(Table::Likes, (*post).into()),
            UserList::Reposts(post) => UserSource::Records(Table::Reposts, (*post).into()),
            UserList::Followers(user) => match state.users.get(user) {
                Some(user) => UserSource::Records(Table::Followers, user.into()),
                None => UserSource::Edges(Vec::new()),
            },
            UserList::Following(user) => {
                let user = state.users.get(user);
                let edges = user.map(|user| state.graph.edges(user).iter().collect());
                let mut edges: Vec<_> = edges.unwrap_or_default();
                let viewer = hydrate::viewer(state, &self.viewer);
                edges.retain(|edge| viewer.sees(edge.followee));
                UserSource::Edges(edges)
            }
            UserList::Blocks => own(state.visibility.blocks()),
            UserList::Mutes => own(state.visibility.mutes()),
        }
    }

    fn page_of_edges(
        &self,
        source: &Source<'_>,
        mut edges: Vec<Edge>,
        at: Revision,
        before: Revision,
    ) -> Page<ListedUser> {
        edges.retain(|edge| edge.since < before);
        edges.sort_unstable_by_key(|edge| std::cmp::Reverse(edge.since));
        let more = edges.len() > self.items_max;
        edges.truncate(self.items_max);
        let next = edges.last().filter(|_| more).map(|edge| edge.since);
        let named = |edge: Edge| ListedUser {
            user: source.state.users.name(edge.followee),
            since: edge.since,
        };
        page::page(edges.into_iter().map(named).collect(), next, at)
    }
}
