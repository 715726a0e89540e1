//! What the engine answers to reads, in the lines that the model has for them. All that is paged is
//! read page by page to its end.

use std::collections::BTreeSet;
use whimbrel::query::{
    GetPosts, GetProfile, GetRelationships, ListNotifications, ListPosts, ListUsers,
};

use whimbrel::live::{FeedEvent, Start, StreamMessage, Watched};
use whimbrel::model::{Cursor, PostId, Revision};
use whimbrel::query::Error;
use whimbrel::query::{AuthorFeed, GetThread, HomeFeed};
use whimbrel::query::{
    FeedItem, Gap, Notification, Page, PagePosition, PostList, PostView, ThreadPost, UserList,
};
use whimbrel::state::NotificationKind;

use super::reads::listed;
use super::{THREAD_DEPTH, THREAD_REPLIES};
use crate::harness::core::{Core, step, user};
use crate::harness::events::in_short;
use crate::oracle::world::Options;

/// Who asks, and for how much at once.
pub(super) struct Look<'a> {
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
    let page = async |place| {
        let query = HomeFeed {
            user: user(reader),
            items_max: page_size,
            position: place,
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
    let mut told = Vec::new();
    loop {
        match step(&mut stream).await {
            StreamMessage::CaughtUp { .. } => return told,
            StreamMessage::Batch { events, .. } => {
                told.extend(events.iter().map(|event| event_line(event)))
            }
            _ => {}
        }
    }
}

impl Look<'_> {
    /// Everything that there is to see of `other`, of `post`, and of what concerns the viewer.
    pub(super) async fn at(&self, other: &str, post: PostId, posts: &[PostId]) -> Vec<String> {
        let engine = self.core.engine();
        let viewer = user(self.viewer);
        let between = engine
            .ask(GetRelationships { user: viewer.clone(), others: vec![user(other)] })
            .await
            .unwrap()
            .pop()
            .expect("one for each");
        let so = [
            between.following,
            between.followed_by,
            between.blocking,
            between.blocked_by,
            between.muting,
        ];
        let mut lines = vec![format!("{so:?}")];
        for (name, list) in [("blocks", UserList::Blocks), ("mutes", UserList::Mutes)] {
            lines.push(self.users(name, list).await.expect("the list is read"));
        }
        match self.person(other).await {
            Ok(person) => lines.extend(person),
            Err(Error::Blocked { .. }) => lines.push("blocked".to_owned()),
            Err(error) => panic!("{error}"),
        }
        lines.extend(self.notifications().await);
        let seen =
            engine.ask(GetPosts { viewer, ids: posts.to_vec() }).await.expect("the posts are read");
        lines.extend(seen.iter().map(post_line));
        match self.around(post).await {
            Ok(around) => lines.extend(around),
            Err(Error::PostNotFound { .. }) => lines.push("no post".to_owned()),
            Err(error) => panic!("{error}"),
        }
        lines
    }

    async fn person(&self, other: &str) -> Result<Vec<String>, Error> {
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
            let page = async |place| {
                let query = AuthorFeed {
                    viewer: user(self.viewer),
                    author: user(other),
                    items_max: self.page_size,
                    position: place,
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
        let page = async |place| {
            let all = engine
                .ask(ListNotifications {
                    user: user(self.viewer),
                    items_max: self.page_size,
                    position: place,
                })
                .await;
            all.map(|all| all.page)
        };
        let all = all(self.page_size, page).await.expect("the notifications are read");
        let mut lines = vec![format!("{} unseen since {}", first.unseen, first.seen_until)];
        lines.extend(all.iter().map(notification_line));
        lines
    }

    async fn around(&self, post: PostId) -> Result<Vec<String>, Error> {
        let engine = self.core.engine();
        let query = GetThread {
            viewer: user(self.viewer),
            post,
            after: None,
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
            let page = async |place| {
                engine
                    .ask(ListPosts {
                        viewer: user(self.viewer),
                        list,
                        items_max: self.page_size,
                        position: place,
                    })
                    .await
            };
            lines.extend(all(self.page_size, page).await?.iter().map(post_line));
        }
        Ok(lines)
    }

    async fn users(&self, name: &str, list: UserList) -> Result<String, Error> {
        let page = async |place| {
            let viewer = user(self.viewer);
            self.core
                .engine()
                .ask(ListUsers {
                    viewer,
                    list: list.clone(),
                    items_max: self.page_size,
                    position: place,
                })
                .await
        };
        let users = all(self.page_size, page).await?;
        let users: Vec<_> = users.iter().map(|it| (it.user.to_string(), it.since.get())).collect();
        Ok(listed(name, &users))
    }
}

/// All pages of a listing. All but the last are full.
async fn all<T>(
    page_size: usize,
    page: impl AsyncFn(Option<PagePosition>) -> Result<Page<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut place = None;
    let mut begun_at = BTreeSet::new();
    loop {
        let page = page(place).await?;
        begun_at.insert(page.at);
        assert_eq!(begun_at.len(), 1, "all pages stand at one position");
        place = page.next;
        assert!(
            page.items.len() == page_size || place.is_none() && page.items.len() < page_size,
            "a page before the last is full"
        );
        items.extend(page.items);
        if place.is_none() {
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
    format!("{} {author}: {text} {counts:?} {liked} {reposted}", post.id())
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
    let (what, is_of_post) = match kind {
        NotificationKind::Follow => ("follow", false),
        NotificationKind::Like => ("like", false),
        NotificationKind::Repost => ("repost", false),
        NotificationKind::Reply => ("reply", true),
        NotificationKind::Quote => ("quote", true),
        NotificationKind::Mention => ("mention", true),
    };
    assert_eq!(post.as_ref().map(|post| post.revision), is_of_post.then_some(*revision));
    let subject = subject.map_or(Revision::ZERO, PostId::revision);
    format!("{revision} {what} {actor} {subject}")
}

fn event_line(event: &FeedEvent) -> String {
    let (at, what) = in_short(event);
    format!("{at} {what}")
}
