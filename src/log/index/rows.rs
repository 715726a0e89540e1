//! What goes into the index's tables, and what comes out of them: plain numbers.

use std::collections::BTreeMap;

use crate::model::{Revision, Timestamp, UserId};

/// A follow, by the numbers of the two users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who follows.
    pub follower: u32,
    /// Who is followed.
    pub followee: u32,
    /// The revision at which it began.
    pub since: Revision,
}

/// The use of a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The post that it made.
    pub revision: Revision,
    /// The hash of its author and its id, under the index's key.
    pub hash: u128,
    /// When, in the log's time.
    pub time: Timestamp,
}

/// What a view is loaded from.
#[derive(Debug, Default)]
pub struct Contents {
    /// The position that all of it shows.
    pub complete_until: Revision,
    /// The names of all users; a user's number is the place here.
    pub users: Vec<UserId>,
    /// All edges, by follower and then by followee. In pieces that each have all of their
    /// followers', so that their memory can be used anew as they are taken.
    pub edges: Vec<Vec<Edge>>,
    /// Each author's number and newest revision.
    pub newest: Vec<(u32, Revision)>,
    /// The request ids that are remembered, oldest first.
    pub requests: Vec<Request>,
}

/// What some consecutive events change in the tables.
#[derive(Debug)]
pub struct Rows {
    /// The number of the first new user.
    pub(super) users_from: u32,
    pub(super) users: Vec<UserId>,
    /// By follower and followee: since when, or `None` where the edge ended.
    pub(super) edges: BTreeMap<(u32, u32), Option<Revision>>,
    /// Author and revision. Sorted once they are written.
    pub(super) posts: Vec<(u32, u64)>,
    /// User and revision. Sorted once they are written.
    pub(super) changes: Vec<(u32, u64)>,
    pub(super) requests: Vec<Request>,
}

impl Rows {
    pub(super) fn new(users_from: u32) -> Self {
        Self {
            users_from,
            users: Vec::new(),
            edges: BTreeMap::new(),
            posts: Vec::new(),
            changes: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// The number that the next new user must have: numbers are given without a gap.
    #[must_use]
    pub fn next_user(&self) -> u32 {
        self.users_from + u32::try_from(self.users.len()).unwrap_or(u32::MAX)
    }

    /// Adds the user with the number [`Rows::next_user`].
    pub fn push_user(&mut self, name: UserId) {
        self.users.push(name);
    }

    /// `follower` has followed `followee` since `since`, or does no longer, by a change at `at`.
    pub fn push_change(
        &mut self,
        follower: u32,
        followee: u32,
        since: Option<Revision>,
        at: Revision,
    ) {
        self.edges.insert((follower, followee), since);
        self.changes.push((follower, at.get()));
    }

    /// `author` published `revision`.
    pub fn push_post(&mut self, author: u32, revision: Revision) {
        self.posts.push((author, revision.get()));
    }

    /// A request id was used.
    pub fn push_request(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// Those who published, each once. Only for rows that were written.
    pub fn authors(&self) -> impl Iterator<Item = u32> {
        each_once(&self.posts)
    }

    /// Those who changed whom they follow, each once. Only for rows that were written.
    pub fn changers(&self) -> impl Iterator<Item = u32> {
        each_once(&self.changes)
    }
}

fn each_once(sorted: &[(u32, u64)]) -> impl Iterator<Item = u32> {
    sorted.chunk_by(|a, b| a.0 == b.0).map(|of_one| of_one[0].0)
}
