//! Reading a page of a home feed.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Error};
use crate::model::{Cursor, Post, Revision, UserId};
use crate::view::{FeedPage, Happened, PagePlace, PageQuery, View};

/// Which page of which feed.
#[derive(Clone, Debug)]
pub struct FeedQuery {
    /// Whose feed.
    pub user: UserId,
    /// How many items at most.
    pub items_max: usize,
    /// Where the page begins; `None` for the newest items.
    pub place: Option<PagePlace>,
    /// What the page must show at least.
    pub at_least: Option<Cursor>,
    /// Whether the user's own posts are in it.
    pub with_own: bool,
    /// How long to wait for `at_least`.
    pub wait_max: Duration,
}

/// A page.
#[derive(Debug)]
pub struct FeedResult {
    /// Its posts, newest first.
    pub posts: Vec<Arc<Post>>,
    /// Where the next page begins; `None` at the end of the feed.
    pub next: Option<PagePlace>,
    /// The position that the listing began with.
    pub cursor: Cursor,
}

impl Engine {
    /// Reads a page of a feed. It is of one moment: no change is half in it.
    ///
    /// # Errors
    /// `at_least` or the place is not a position of this log, or `at_least` is not reached in time.
    pub async fn news_feed(&self, query: FeedQuery) -> Result<FeedResult, Error> {
        self.reached(query.at_least, query.wait_max).await?;
        self.check_place(query.place)?;
        let (page, posts) =
            self.page(query.place, query.user, query.items_max, query.with_own).await?;
        let at = query.place.map_or(page.at, |place| place.at);
        let next = page
            .revisions
            .last()
            .filter(|_| page.more)
            .map(|&oldest| PagePlace { before: oldest, at });
        Ok(FeedResult { posts, next, cursor: self.0.hub.cursor_after(at) })
    }

    /// Reads a page and its posts: from memory alone if that does, as it does for the newest.
    async fn page(
        &self,
        place: Option<PagePlace>,
        user: UserId,
        items_max: usize,
        with_own: bool,
    ) -> Result<(FeedPage, Vec<Arc<Post>>), Error> {
        let before = place.map_or(Revision::MAX, |place| place.before);
        let query = PageQuery { user, before, items_max, with_own };
        let view = &self.0.view;
        let page = match view.feed_page_at_hand(&query) {
            None => None,
            Some(page) => {
                let cached = page.revisions.iter().map(|&revision| view.cached_post(revision));
                match cached.collect() {
                    Some(posts) => return Ok((page, posts)),
                    None => Some(page),
                }
            }
        };
        view.read(move |view| {
            let page = match page {
                Some(page) => page,
                None => view.feed_page(&query)?,
            };
            let posts = posts(view, &page.revisions)?;
            Ok((page, posts))
        })
        .await
    }
}

/// The posts at `revisions`, of which there are no more than a page has.
fn posts(view: &View, revisions: &[Revision]) -> Result<Vec<Arc<Post>>, Error> {
    let post = |(happened, &revision)| match happened {
        Some(Happened::Post(post)) => Ok(post),
        Some(Happened::Other(_)) | None => Err(Error::Missing { revision }),
    };
    view.happened(revisions)?.into_iter().zip(revisions).map(post).collect()
}
