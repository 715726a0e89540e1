//! The view and the index: loading the one from the other, and saying what to add to the index.

use std::sync::Arc;

use super::View;
use super::ids::UserIx;
use crate::config::Limits;
use crate::log::{Contents, Index, Log, OpenedIndex, Rows};
use crate::model::{Change, Event, Revision, UserId};

impl View {
    /// The view that `opened` shows, of `log`, which it was made from.
    #[must_use]
    pub fn load(log: Arc<dyn Log>, opened: OpenedIndex, limits: &Limits) -> Self {
        let OpenedIndex { index, contents } = opened;
        let Contents { complete_until, users, edges, newest, requests } = contents;
        let mut view = Self::empty(log, index.hash_key(), limits);
        view.index = Some(Arc::new(index));
        for user in &users {
            view.ids.intern(user);
        }
        view.graph.load(edges, users.len());
        for (author, revision) in newest {
            view.posts_of.load(UserIx::new(author), revision);
        }
        view.changes_of.load(complete_until);
        view.requests.load(requests);
        view.applied.advance(complete_until);
        view
    }

    /// The index behind the view, if it has one.
    #[must_use]
    pub fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }

    /// Adds to `rows` what `event` changes in the index. It must be applied already.
    pub fn add_rows(&self, rows: &mut Rows, revision: Revision, event: &Event) {
        match &event.change {
            Change::Follow { follower, followee } => {
                let (follower, followee) = (self.number(follower), self.number(followee));
                rows.push_change(follower, followee, Some(revision), revision);
                self.add_users(rows, follower.max(followee));
            }
            Change::Unfollow { follower, followee } => {
                let (follower, followee) = (self.number(follower), self.number(followee));
                rows.push_change(follower, followee, None, revision);
                self.add_users(rows, follower.max(followee));
            }
            Change::Publish { author, request_id, .. } => {
                let number = self.number(author);
                rows.push_post(number, revision);
                self.add_users(rows, number);
                if let Some(id) = request_id {
                    rows.push_request(self.requests.request(author, id, revision, event.time));
                }
            }
        }
    }

    /// Drops from memory what may be dropped now that `rows` are in the index.
    pub fn indexed(&self, rows: &Rows, complete_until: Revision) {
        for author in rows.authors() {
            self.posts_of.trim(UserIx::new(author), complete_until);
        }
        self.changes_of.indexed(complete_until);
        for user in rows.changers() {
            self.changes_of.trim(UserIx::new(user), complete_until);
        }
        self.changes_of.shrink();
    }

    /// The number of `user`, whom an applied event names.
    fn number(&self, user: &UserId) -> u32 {
        self.ids.intern(user).number()
    }

    /// Adds the users up to the one with the number `until` that the index does not have.
    fn add_users(&self, rows: &mut Rows, until: u32) {
        while rows.next_user() <= until {
            rows.push_user(self.ids.name(UserIx::new(rows.next_user())));
        }
    }
}
