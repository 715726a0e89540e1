//! Reads that are being built elsewhere: as much of them as callers need to compile.

use std::time::Duration;

use super::{Engine, Error, FeedItem, Page, PagePlace, PostView};
use crate::hub::{LiveStream, Start, WatchOptions};
use crate::model::UserId;

#[derive(Debug)]
pub struct FeedQuery {
    pub user: UserId,
    pub items_max: usize,
    pub place: Option<PagePlace>,
    pub with_own: bool,
    pub all_replies: bool,
}

#[derive(Debug)]
pub struct AuthorQuery {
    pub viewer: UserId,
    pub author: UserId,
    pub items_max: usize,
    pub place: Option<PagePlace>,
    pub with_replies: bool,
    pub with_reposts: bool,
}

#[derive(Debug)]
pub enum Watched {
    Feed { all_replies: bool },
    Notifications,
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "gone before this lands")]
impl Engine {
    pub async fn news_page(&self, query: FeedQuery) -> Result<Page<FeedItem>, Error> {
        let page = self
            .news_feed(super::FeedQuery {
                user: query.user,
                items_max: query.items_max,
                place: query.place,
                at_least: None,
                with_own: query.with_own,
                wait_max: Duration::ZERO,
            })
            .await?;
        let item = |post: std::sync::Arc<crate::model::Post>| FeedItem {
            revision: post.revision,
            view: PostView {
                post,
                counts: crate::view::Counts::default(),
                liked: false,
                reposted: false,
            },
            reposted_by: None,
        };
        Ok(Page {
            items: page.posts.into_iter().map(item).collect(),
            next: page.next,
            at: page.cursor.after,
        })
    }

    pub async fn author_feed(&self, _: AuthorQuery) -> Result<Page<FeedItem>, Error> {
        Err(Error::Stopping)
    }

    pub fn watch_what(
        &self,
        of: Watched,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, Error> {
        match of {
            Watched::Feed { .. } => self.watch(user, start, options),
            Watched::Notifications => Err(Error::Stopping),
        }
    }
}
