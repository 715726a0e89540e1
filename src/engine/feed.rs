//! Reading pages of a home feed, and of what one author published.

use std::sync::Arc;

use super::{Engine, Error};
use crate::model::{Post, Revision, UserId};
use crate::query::{
    AuthorPageQuery, FeedItem, FeedPage, Page, PageItem, PagePosition, PageQuery, PostView,
};
use crate::state::{MissingEvent, Reading};
use crate::state::{State, TimelineEvent};

/// Which page of which feed.
#[derive(Clone, Debug)]
pub struct FeedQuery {
    /// Whose feed.
    pub user: UserId,
    /// How many items at most.
    pub items_max: usize,
    /// Where the page begins; `None` for the newest items.
    pub place: Option<PagePosition>,
    /// Whether the user's own posts are in it.
    pub with_own: bool,
    /// Whether all replies of those who are followed are in it, and not only those to the user and
    /// to others who are followed.
    pub all_replies: bool,
}

/// Which page of what one author published.
#[derive(Clone, Debug)]
pub struct AuthorQuery {
    /// Who looks.
    pub viewer: UserId,
    /// Whose posts.
    pub author: UserId,
    /// How many items at most.
    pub items_max: usize,
    /// Where the page begins; `None` for the newest items.
    pub place: Option<PagePosition>,
    /// Whether replies are in it, those in threads of the author's own among them.
    pub with_replies: bool,
    /// Whether reposts are in it.
    pub with_reposts: bool,
}

/// How a page of either kind is read.
trait Query: Clone + Send + 'static {
    fn viewer(&self) -> &UserId;
    fn at_hand(&self, view: &State) -> Option<FeedPage>;
    fn read(&self, view: &Reading<'_>) -> Result<FeedPage, Error>;
}

impl Query for PageQuery {
    fn viewer(&self) -> &UserId {
        &self.user
    }

    fn at_hand(&self, view: &State) -> Option<FeedPage> {
        view.feed_page_at_hand(self)
    }

    fn read(&self, view: &Reading<'_>) -> Result<FeedPage, Error> {
        Ok(view.feed_page(self)?)
    }
}

impl Query for AuthorPageQuery {
    fn viewer(&self) -> &UserId {
        &self.viewer
    }

    fn at_hand(&self, view: &State) -> Option<FeedPage> {
        view.author_page_at_hand(self)
    }

    fn read(&self, view: &Reading<'_>) -> Result<FeedPage, Error> {
        Ok(view.author_page(self)?)
    }
}

impl Engine {
    /// A page of a home feed, newest first. What it shows is of one moment: no change is half in
    /// it. It is full unless the feed ends, but for what is deleted while it is read, and where it
    /// has looked through [`page_scan_entries_max`](crate::config::Limits::page_scan_entries_max) places.
    ///
    /// A repost is left out if the post, or another repost of it, is among the 40 entries that are
    /// next older in the feed: all those that it would have if no repost were left out.
    ///
    /// # Errors
    /// The place is not a position of this log; or the log or the index cannot be read.
    pub async fn news_feed(&self, query: FeedQuery) -> Result<Page<FeedItem>, Error> {
        let FeedQuery { user, items_max, place, with_own, all_replies } = query;
        let before = place.map_or(Revision::MAX, |place| place.before);
        self.feed_page(place, PageQuery { user, before, items_max, with_own, all_replies }).await
    }

    /// A page of what one author published, newest first. Mutes hide nothing of it.
    ///
    /// # Errors
    /// [`Error::Blocked`] if the two do not see each other; the place is not a position of this log;
    /// or the log or the index cannot be read.
    pub async fn author_feed(&self, query: AuthorQuery) -> Result<Page<FeedItem>, Error> {
        let AuthorQuery { viewer, author, items_max, place, with_replies, with_reposts } = query;
        self.check_sees(&viewer, &author)?;
        let before = place.map_or(Revision::MAX, |place| place.before);
        let query =
            AuthorPageQuery { viewer, author, before, items_max, with_replies, with_reposts };
        self.feed_page(place, query).await
    }

    /// Reads a page and its posts: from memory alone if that does, as it does for the newest.
    async fn feed_page(
        &self,
        place: Option<PagePosition>,
        query: impl Query,
    ) -> Result<Page<FeedItem>, Error> {
        self.check_place(place)?;
        let view = &self.0.view;
        let page = query.at_hand(view);
        if let Some(page) = &page
            && let Some(posts) = posts_at_hand(view, page)
            && let Some(views) = view.post_views_at_hand(query.viewer(), &posts)
        {
            return Ok(in_full(page, views, place));
        }
        view.read(move |view| {
            let page = match page {
                Some(page) => page,
                None => query.read(view)?,
            };
            let posts = posts(view, &page)?;
            let views = view.post_views(query.viewer(), posts)?;
            Ok(in_full(&page, views, place))
        })
        .await
    }
}

/// The posts of `page`, if all are in memory.
fn posts_at_hand(view: &State, page: &FeedPage) -> Option<Vec<Arc<Post>>> {
    page.items.iter().map(|item| view.cached_post(item.post)).collect()
}

/// The posts of `page`, but for those that were deleted meanwhile.
fn posts(view: &State, page: &FeedPage) -> Result<Vec<Arc<Post>>, Error> {
    let revisions: Vec<_> = page.items.iter().map(|item| item.post).collect();
    let mut posts = Vec::with_capacity(revisions.len());
    for (happened, revision) in view.happened(&revisions)?.into_iter().zip(revisions) {
        match happened {
            Some(TimelineEvent::Post(post)) => posts.push(post),
            None => {}
            Some(_) => return Err(MissingEvent { revision }.into()),
        }
    }
    Ok(posts)
}

/// `page` with its posts, of which some may be gone.
fn in_full(page: &FeedPage, views: Vec<PostView>, place: Option<PagePosition>) -> Page<FeedItem> {
    let at = place.map_or(page.at, |place| place.at);
    let next = page.next.map(|before| PagePosition { before, at });
    let mut views = views.into_iter().peekable();
    let item = |item: &PageItem| {
        let view = views.next_if(|view| view.post.revision == item.post)?;
        let reposted_by = item.reposted_by.clone();
        Some(FeedItem { revision: item.revision, view, reposted_by })
    };
    Page { items: page.items.iter().filter_map(item).collect(), next, at }
}
