//! The engine's reads, in the lines that the model has for them. All listings are read page by page
//! to their ends.

use std::collections::BTreeSet;

use whimbrel::live::{FeedEvent, Start, StreamMessage, Watched};
use whimbrel::model::{Cursor, PostId, Revision};
use whimbrel::query::{
    AuthorFeed, Error, FeedItem, Gap, GetPosts, GetProfile, GetRelationships, GetThread, HomeFeed,
    ListNotifications, ListPosts, ListUsers, Notification, Page, PagePosition, PostList, PostView,
    ThreadPost, UserList,
};
use whimbrel::state::NotificationKind;

use super::model_reads::list_line;
use super::{THREAD_DEPTH, THREAD_REPLIES};
use crate::harness::core::{Core, step, user};
use crate::harness::events::in_short;
use crate::oracle::feeds::Options;

/// A viewer, and the size of the pages that they read.
pub(super) struct EngineReader<'a> {
    pub(super) core: &'a Core,
    pub(super) viewer: &'static str,
    pub(super) page_size: usize,
}

pub(super) async fn feed(
    core: &Core,
    reader: &'static str,
    page_size: usize,
    options: Options,
) -> Vec<String> {
    let page = async |position| {
        let query = HomeFeed {
            user: user(reader),
            items_max: page_size,
            position,
            with_own: options.with_own,
            all_replies: options.all_replies,
        };
        core.engine().ask(query).await
    };
    let items = all(page_size, page).await.expect("the feed is read");
    items.iter().map(item_line).collect()
}

pub(super) async fn watch(
    core: &Core,
    watcher: &str,
    changes_ago: u64,
    all_replies: bool,
) -> Vec<String> {
    let now = core.engine().cursor();
    let after = Revision::new(now.after.get().saturating_sub(changes_ago));
    let start = Start::After(Cursor::after(now.log, after));
    let mut stream = core.watch_as(watcher, start, Watched::Feed { all_replies });
    let mut delivered = Vec::new();
    loop {
        match step(&mut stream).await {
            StreamMessage::CaughtUp { .. } => return delivered,
            StreamMessage::Batch { events, .. } => {
                delivered.extend(events.iter().map(|event| event_line(event)))
            }
            _ => {}
        }
    }
}

impl EngineReader<'_> {
    /// Everything that the viewer can read about `other` and `post`, and their own lists.
    pub(super) async fn read_all(
        &self,
        other: &str,
        post: PostId,
        posts: &[PostId],
    ) -> Vec<String> {
        let engine = self.core.engine();
        let viewer = user(self.viewer);
        let relationship = engine
            .ask(GetRelationships { user: viewer.clone(), others: vec![user(other)] })
            .await
            .unwrap()
            .pop()
            .expect("one for each user");
        let flags = [
            relationship.following,
            relationship.followed_by,
            relationship.blocking,
            relationship.blocked_by,
            relationship.muting,
        ];
        let mut lines = vec![format!("{flags:?}")];
        for (name, list) in [("blocks", UserList::Blocks), ("mutes", UserList::Mutes)] {
            lines.push(self.users(name, list).await.expect("the list is read"));
        }
        match self.profile(other).await {
            Ok(profile) => lines.extend(profile),
            Err(Error::Blocked { .. }) => lines.push("blocked".to_owned()),
            Err(error) => panic!("{error}"),
        }
        lines.extend(self.notifications().await);
        let seen =
            engine.ask(GetPosts { viewer, ids: posts.to_vec() }).await.expect("the posts are read");
        lines.extend(seen.iter().map(post_line));
        match self.post(post).await {
            Ok(post) => lines.extend(post),
            Err(Error::PostNotFound { .. }) => lines.push("no post".to_owned()),
            Err(error) => panic!("{error}"),
        }
        lines
    }

    async fn profile(&self, other: &str) -> Result<Vec<String>, Error> {
        let profile = self
            .core
            .engine()
            .ask(GetProfile { viewer: user(self.viewer), user: user(other) })
            .await?;
        let counts = [profile.followers, profile.following, profile.posts, profile.likes_received];
        let mut lines = vec![format!("{counts:?}")];
        lines.push(self.users("followers", UserList::Followers(user(other))).await?);
        lines.push(self.users("following", UserList::Following(user(other))).await?);
        for (with_replies, with_reposts) in [(false, false), (true, false), (true, true)] {
            let page = async |position| {
                let query = AuthorFeed {
                    viewer: user(self.viewer),
                    author: user(other),
                    items_max: self.page_size,
                    position,
                    with_replies,
                    with_reposts,
                };
                self.core.engine().ask(query).await
            };
            let items = all(self.page_size, page).await?;
            lines.extend(items.iter().map(item_line));
        }
        Ok(lines)
    }

    async fn notifications(&self) -> Vec<String> {
        let engine = self.core.engine();
        let first = engine
            .ask(ListNotifications {
                user: user(self.viewer),
                items_max: self.page_size,
                position: None,
            })
            .await;
        let first = first.expect("the notifications are read");
        let page = async |position| {
            let all = engine
                .ask(ListNotifications {
                    user: user(self.viewer),
                    items_max: self.page_size,
                    position,
                })
                .await;
            all.map(|all| all.page)
        };
        let all = all(self.page_size, page).await.expect("the notifications are read");
        let mut lines = vec![format!("{} unseen since {}", first.unseen, first.seen_until)];
        lines.extend(all.iter().map(notification_line));
        lines
    }

    async fn post(&self, post: PostId) -> Result<Vec<String>, Error> {
        let engine = self.core.engine();
        let query = GetThread {
            viewer: user(self.viewer),
            post,
            position: None,
            depth_max: THREAD_DEPTH,
            replies_max: THREAD_REPLIES,
        };
        let thread = engine.ask(query).await?;
        let posts = thread.ancestors.iter().chain([&thread.post]).chain(&thread.replies);
        let mut lines: Vec<_> = posts.map(thread_line).collect();
        let likes = match self.users("likes", UserList::Likes(post)).await {
            Err(Error::PostNotFound { .. }) => {
                lines.push("no post".to_owned());
                return Ok(lines);
            }
            likes => likes?,
        };
        lines.push(likes);
        lines.push(self.users("reposts", UserList::Reposts(post)).await?);
        for list in [PostList::Replies(post), PostList::Quotes(post)] {
            let page = async |position| {
                engine
                    .ask(ListPosts {
                        viewer: user(self.viewer),
                        list,
                        items_max: self.page_size,
                        position,
                    })
                    .await
            };
            lines.extend(all(self.page_size, page).await?.iter().map(post_line));
        }
        Ok(lines)
    }

    async fn users(&self, name: &str, list: UserList) -> Result<String, Error> {
        let page = async |position| {
            let viewer = user(self.viewer);
            self.core
                .engine()
                .ask(ListUsers { viewer, list: list.clone(), items_max: self.page_size, position })
                .await
        };
        let users = all(self.page_size, page).await?;
        let users: Vec<_> = users.iter().map(|it| (it.user.to_string(), it.since.get())).collect();
        Ok(list_line(name, &users))
    }
}

/// The items of all pages of a listing.
async fn all<T>(
    page_size: usize,
    page: impl AsyncFn(Option<PagePosition>) -> Result<Page<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut position = None;
    let mut positions = BTreeSet::new();
    loop {
        let page = page(position).await?;
        positions.insert(page.at);
        assert_eq!(positions.len(), 1, "all pages have one position");
        position = page.next;
        assert!(
            page.items.len() == page_size || position.is_none() && page.items.len() < page_size,
            "a page before the last is full"
        );
        items.extend(page.items);
        if position.is_none() {
            return Ok(items);
        }
    }
}

fn item_line(item: &FeedItem) -> String {
    let by = item.reposted_by.as_ref().map_or("", |by| by.as_str());
    format!("{} {by} {}", item.revision, post_line(&item.post))
}

fn post_line(seen: &PostView) -> String {
    let PostView { post, counts, liked, reposted } = seen;
    let counts = [counts.likes, counts.reposts, counts.replies, counts.quotes];
    let (author, text) = (&post.author, post.content.text.as_str());
    format!("{:?} {author}: {text} {counts:?} {liked} {reposted}", post.id())
}

fn thread_line(post: &ThreadPost) -> String {
    let shown = match &post.shown {
        Ok(shown) => {
            assert_eq!(shown.post.id(), post.id);
            "shown"
        }
        Err(Gap::Deleted) => "deleted",
        Err(Gap::Hidden) => "hidden",
    };
    let parent = post.parent.map_or(Revision::ZERO, PostId::revision);
    format!("{} below {parent}: {shown}", post.id.revision())
}

fn notification_line(notification: &Notification) -> String {
    let Notification { revision, kind, actor, subject, post, .. } = notification;
    let (name, has_post) = match kind {
        NotificationKind::Follow => ("follow", false),
        NotificationKind::Like => ("like", false),
        NotificationKind::Repost => ("repost", false),
        NotificationKind::Reply => ("reply", true),
        NotificationKind::Quote => ("quote", true),
        NotificationKind::Mention => ("mention", true),
    };
    assert_eq!(post.as_ref().map(|post| post.revision), has_post.then_some(*revision));
    let subject = subject.map_or(Revision::ZERO, PostId::revision);
    format!("{revision} {name} {actor} {subject}")
}

fn event_line(event: &FeedEvent) -> String {
    let (at, what) = in_short(event);
    format!("{at} {what}")
}
