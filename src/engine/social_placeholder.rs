//! Reads that are being built elsewhere: as much of them as callers need to compile.

use std::time::Duration;

use super::{Engine, Error};
use crate::hub::{LiveStream, Start, WatchOptions};
use crate::model::{Cursor, PostId, UserId};
use crate::view::{
    FeedItem, ListedUser, Notifications, Page, PagePlace, PostList, PostView, Profile,
    Relationship, Thread, UserList,
};

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
pub struct ThreadQuery {
    pub viewer: UserId,
    pub post: PostId,
    pub depth_max: usize,
    pub replies_max: usize,
}

#[derive(Debug)]
pub enum Watched {
    Feed { all_replies: bool },
    Notifications,
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "gone before this lands")]
impl Engine {
    pub async fn reached(&self, at_least: Option<Cursor>, wait_max: Duration) -> Result<(), Error> {
        let view = &self.0.view;
        if let Some(wanted) = &at_least {
            self.0.hub.check_cursor(wanted)?;
            tokio::time::timeout(wait_max, view.reached(wanted.needs())).await.map_err(|_| {
                Error::NodeBehind { wanted: wanted.needs(), applied: view.applied() }
            })?;
        }
        Ok(())
    }

    pub async fn posts(&self, _: UserId, _: Vec<PostId>) -> Result<Vec<PostView>, Error> {
        Err(Error::Stopping)
    }

    pub async fn news_page(&self, query: FeedQuery) -> Result<Page<FeedItem>, Error> {
        let page = self
            .news_feed(super::FeedQuery {
                user: query.user,
                items_max: query.items_max,
                place: query
                    .place
                    .map(|place| super::FeedPlace { before: place.before, at: place.at }),
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
            next: page.next.map(|next| PagePlace { before: next.before, at: next.at }),
            at: page.cursor.after,
        })
    }

    pub async fn author_feed(&self, _: AuthorQuery) -> Result<Page<FeedItem>, Error> {
        Err(Error::Stopping)
    }

    pub async fn thread(&self, _: ThreadQuery) -> Result<Thread, Error> {
        Err(Error::Stopping)
    }

    pub async fn users(
        &self,
        _: UserId,
        _: UserList,
        _: usize,
        _: Option<PagePlace>,
    ) -> Result<Page<ListedUser>, Error> {
        Err(Error::Stopping)
    }

    pub async fn answers(
        &self,
        _: UserId,
        _: PostList,
        _: usize,
        _: Option<PagePlace>,
    ) -> Result<Page<PostView>, Error> {
        Err(Error::Stopping)
    }

    pub fn relationships(&self, _: &UserId, _: &[UserId]) -> Vec<Relationship> {
        Vec::new()
    }

    pub async fn profile(&self, _: UserId, _: UserId) -> Result<Profile, Error> {
        Err(Error::Stopping)
    }

    pub async fn notifications(
        &self,
        _: UserId,
        _: usize,
        _: Option<PagePlace>,
    ) -> Result<Notifications, Error> {
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
