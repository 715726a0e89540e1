//! Reading lists of users.

use super::read::check_post;
use super::{Engine, Error};
use crate::model::UserId;
use crate::query::{ListQuery, ListedUser, Page, PagePosition, UserList};

impl Engine {
    /// A page of a list of users, newest first, without those whom `viewer` does not see.
    ///
    /// # Errors
    /// [`Error::PostNotFound`], also if `viewer` does not see the post; [`Error::Blocked`] if they do
    /// not see the user whose list it is; `place` is not of this log; or the log or the index cannot
    /// be read.
    pub async fn users(
        &self,
        viewer: UserId,
        list: UserList,
        items_max: usize,
        place: Option<PagePosition>,
    ) -> Result<Page<ListedUser>, Error> {
        self.check_place(place)?;
        if let UserList::Followers(user) | UserList::Following(user) = &list {
            self.check_sees(&viewer, user)?;
        }
        let query = ListQuery { viewer, list, place, items_max };
        if let Some(page) = self.0.view.users_at_hand(&query) {
            return Ok(page);
        }
        self.0
            .view
            .read(move |view| {
                if let UserList::Likes(post) | UserList::Reposts(post) = &query.list {
                    check_post(view, &query.viewer, *post)?;
                }
                Ok(view.users(&query)?)
            })
            .await
    }
}
