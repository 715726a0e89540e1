//! Reading posts by their names, and the lists of what answers or quotes one.

use super::read::check_post;
use super::{Engine, Error};
use crate::model::{PostId, UserId};
use crate::query::{ListQuery, Page, PagePosition, PostList, PostView};

impl Engine {
    /// Those of the posts named `ids` that there are and that `viewer` sees, in that order. Whatever
    /// was deleted, or is by somebody whom they do not see, is left out.
    ///
    /// # Errors
    /// The log or the index cannot be read.
    pub async fn posts(&self, viewer: UserId, ids: Vec<PostId>) -> Result<Vec<PostView>, Error> {
        if let Some(posts) = self.0.view.posts_seen_at_hand(&viewer, &ids) {
            return Ok(posts);
        }
        self.0.view.read(move |view| Ok(view.posts_seen(&viewer, &ids)?)).await
    }

    /// A page of what answers or quotes a post, newest first.
    ///
    /// # Errors
    /// [`Error::PostNotFound`], also if `viewer` does not see the post; `place` is not of this log;
    /// or the log or the index cannot be read.
    pub async fn answers(
        &self,
        viewer: UserId,
        list: PostList,
        items_max: usize,
        place: Option<PagePosition>,
    ) -> Result<Page<PostView>, Error> {
        self.check_place(place)?;
        let query = ListQuery { viewer, list, place, items_max };
        self.0
            .view
            .read(move |view| {
                let (PostList::Replies(post) | PostList::Quotes(post)) = query.list;
                check_post(view, &query.viewer, post)?;
                Ok(view.answers(&query)?)
            })
            .await
    }
}
