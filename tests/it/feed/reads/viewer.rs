//! A user who reads everything, and compares it with the oracle.

use std::time::Duration;

use whimbrel::engine::Engine;
use whimbrel::model::{Change, Relation};
use whimbrel::query::{
    Error, Gap, GetPosts, GetProfile, GetRelationships, GetThread, ListNotifications, ListPosts,
    ListUsers, Page, PagePosition, PostList, PostView, ThreadPost, UserList,
};
use whimbrel::state::NotificationKind;

use super::USERS;
use crate::harness::core::user;
use crate::oracle::history::{Oracle, post_id};

/// A user who reads everything.
pub(super) struct Viewer<'a> {
    pub(super) engine: &'a Engine,
    pub(super) name: &'static str,
    pub(super) oracle: &'a Oracle,
}

impl Viewer<'_> {
    pub(super) async fn check_all(&self, random: &mut fastrand::Rng) {
        let head = self.engine.cursor();
        self.engine.reached(Some(head), Duration::ZERO).await.expect("the engine has reached it");
        self.check_posts().await;
        let posts = self.oracle.posts();
        for _ in 0..posts.len().min(8) {
            let post = posts[random.usize(..posts.len())];
            let items_max = random.usize(1..5);
            self.check_lists_of_post(post, items_max).await;
            self.check_thread(post, random.usize(..5), random.usize(..9)).await;
        }
        for other in USERS {
            self.check_user(other, random.usize(1..4)).await;
        }
        self.check_blocks_and_mutes(random.usize(1..4)).await;
        self.check_notifications(random.usize(1..6)).await;
    }

    /// Asks for every revision, most of which are no post.
    async fn check_posts(&self) {
        let ids: Vec<_> = (1..self.oracle.head() + 3).rev().map(post_id).collect();
        let posts = self
            .engine
            .ask(GetPosts { viewer: user(self.name), ids })
            .await
            .expect("posts are read");
        let read: Vec<_> = posts.iter().map(|view| view.post.revision.get()).collect();
        assert_eq!(read, self.oracle.posts_seen(self.name, |_| true), "{}", self.name);
        posts.iter().for_each(|view| self.check_view(view));
    }

    /// The counts are the lengths of the lists.
    fn check_view(&self, view: &PostView) {
        let post = view.post.revision.get();
        let (name, oracle) = (self.name, self.oracle);
        let (likes, reposts) = (oracle.likes(name, post), oracle.reposts(name, post));
        let counts = [
            likes.len(),
            reposts.len(),
            oracle.replies(name, post).len(),
            oracle.quotes(name, post).len(),
        ];
        let read = view.counts;
        let read = [read.likes, read.reposts, read.replies, read.quotes];
        assert_eq!(read.map(|count| count as usize), counts, "{name} of {post}");
        let is_in = |list: &[(String, u64)]| list.iter().any(|(user, _)| user == name);
        assert_eq!((view.liked, view.reposted), (is_in(&likes), is_in(&reposts)), "{post}");
        let (content, author) = (oracle.content(post), oracle.author(post));
        assert!(view.post.content.is_same_request(content), "{post}");
        let is_mentioned = |name: &&str| {
            let is_user = *name == author || oracle.is_user(name, post);
            is_user && content.text.as_str().contains(&format!("@{name}"))
        };
        // The texts name the users in the order of `USERS`.
        let mentioned: Vec<_> = USERS.into_iter().filter(is_mentioned).map(user).collect();
        assert_eq!(*view.post.content.mentioned, mentioned, "{post}");
        assert_eq!(view.post.content.facets.all().len(), mentioned.len(), "{post}");
    }

    async fn check_lists_of_post(&self, post: u64, items_max: usize) {
        let id = post_id(post);
        let (name, oracle) = (self.name, self.oracle);
        let is_seen = oracle.sees(name, post);
        for (list, expected) in [
            (UserList::Likes(id), oracle.likes(name, post)),
            (UserList::Reposts(id), oracle.reposts(name, post)),
        ] {
            match self.users(list.clone(), items_max).await {
                Ok(read) => assert_eq!(read, expected, "{name} {list:?}"),
                Err(Error::PostNotFound { post }) => assert!(post == id && !is_seen),
                Err(error) => panic!("{list:?}: {error}"),
            }
        }
        for (list, expected) in [
            (PostList::Replies(id), oracle.replies(name, post)),
            (PostList::Quotes(id), oracle.quotes(name, post)),
        ] {
            match self.posts(list, items_max).await {
                Ok(read) => {
                    let revisions: Vec<_> = read.iter().map(|it| it.post.revision.get()).collect();
                    assert_eq!(revisions, expected, "{name} {list:?}");
                    read.iter().for_each(|view| self.check_view(view));
                    assert!(is_seen);
                }
                Err(Error::PostNotFound { post }) => assert!(post == id && !is_seen),
                Err(error) => panic!("{list:?}: {error}"),
            }
        }
    }

    async fn check_user(&self, other: &str, items_max: usize) {
        let (oracle, viewer) = (self.oracle, self.name);
        let (one, two) = (|| user(viewer), || user(other));
        let read = self
            .engine
            .ask(GetRelationships { user: user(viewer), others: vec![user(other)] })
            .await
            .unwrap()
            .remove(0);
        assert_eq!(read.user, user(other));
        let read = [read.following, read.followed_by, read.blocking, read.blocked_by, read.muting];
        let expected = [
            Relation::Follow(one(), two()),
            Relation::Follow(two(), one()),
            Relation::Block(one(), two()),
            Relation::Block(two(), one()),
            Relation::Mute(one(), two()),
        ];
        assert_eq!(read, expected.map(|relation| oracle.holds(&relation)), "{viewer} {other}");

        let followers = oracle.followers(viewer, other);
        let following = oracle.following(viewer, other);
        let lists = [UserList::Followers(user(other)), UserList::Following(user(other))];
        let profile = self.engine.ask(GetProfile { viewer: user(viewer), user: user(other) }).await;
        if oracle.blocked_either_way(viewer, other, oracle.head()) {
            for list in lists {
                let refused = self.users(list, items_max).await;
                assert!(matches!(refused, Err(Error::Blocked { .. })));
            }
            assert!(matches!(profile, Err(Error::Blocked { .. })));
            return;
        }
        for (list, expected) in lists.into_iter().zip([&followers, &following]) {
            let read = self.users(list.clone(), items_max).await.expect("the list is read");
            assert_eq!(read, *expected, "{viewer} {list:?}");
        }
        let posts = oracle.posts_of(viewer, other, true, false);
        let profile = profile.expect("the profile is read");
        let read = [profile.followers, profile.following, profile.posts, profile.likes_received];
        let likes = oracle.likes_received(viewer, other);
        let expected = [followers.len(), following.len(), posts.len(), likes];
        assert_eq!(read.map(|number| number as usize), expected, "{viewer} {other}");
    }

    async fn check_blocks_and_mutes(&self, items_max: usize) {
        let blocks = self.users(UserList::Blocks, items_max).await.expect("blocks are read");
        assert_eq!(blocks, self.oracle.blocks(self.name));
        let mutes = self.users(UserList::Mutes, items_max).await.expect("mutes are read");
        assert_eq!(mutes, self.oracle.mutes(self.name));
    }

    async fn check_notifications(&self, items_max: usize) {
        let expected = self.oracle.notifications(self.name);
        let seen_until =
            (1..=self.oracle.head()).rev().find_map(|at| match self.oracle.change(at) {
                Change::See { user, until } if user.as_str() == self.name => Some(until.get()),
                _ => None,
            });
        let seen_until = seen_until.unwrap_or(0);
        let unseen = expected.iter().filter(|(at, _)| *at > seen_until).count();
        let (mut read, mut position) = (Vec::new(), None);
        loop {
            let list = self
                .engine
                .ask(ListNotifications { user: user(self.name), items_max, position })
                .await;
            let list = list.expect("notifications are read");
            assert_eq!((list.unseen, list.seen_until.get()), (unseen, seen_until));
            position = next(&list.page, items_max);
            for it in list.page.items {
                assert_eq!(
                    it.post.map(|post| post.revision),
                    has_a_post(it.kind).then_some(it.revision)
                );
                let (kind, actor) = (format!("{:?}", it.kind).to_lowercase(), it.actor);
                let subject = it.subject.map_or(0, |post| post.revision().get());
                read.push((it.revision.get(), format!("{kind} {actor} {subject}")));
            }
            if position.is_none() {
                break;
            }
        }
        assert_eq!(read, expected, "{}", self.name);
    }

    async fn check_thread(&self, post: u64, depth_max: usize, replies_max: usize) {
        let (viewer, id) = (user(self.name), post_id(post));
        let query = GetThread { viewer, post: id, position: None, depth_max, replies_max };
        let thread = self.engine.ask(query).await.expect("the post was published");

        let mut above = Vec::new();
        let mut next = self.oracle.parent(post);
        while let Some(parent) = next {
            above.push(parent);
            next = self.oracle.parent(parent);
        }
        above.reverse();
        let read: Vec<_> = thread.ancestors.iter().map(|it| it.id.revision().get()).collect();
        assert_eq!(read, above);
        assert_eq!(thread.post.id, id);

        // Level by level, without the gaps that have no visible reply below them.
        let mut level = vec![post];
        let (mut below, mut cut) = (Vec::new(), Vec::new());
        for depth in 1..=depth_max + 1 {
            let left = if depth > depth_max { 0 } else { replies_max - below.len() };
            let mut found: Vec<_> =
                level.iter().flat_map(|&parent| self.oracle.all_replies(parent)).collect();
            found.retain(|&reply| self.oracle.is_listed(self.name, reply));
            found.sort_unstable();
            cut.extend(found.iter().skip(left).filter_map(|&reply| self.oracle.parent(reply)));
            found.truncate(left);
            below.extend(found.iter().map(|&reply| (reply, depth)));
            level = found;
        }
        let read = thread.replies.iter().map(|it| (it.id.revision().get(), it.depth));
        assert_eq!(read.collect::<Vec<_>>(), below, "{} {post} {depth_max}", self.name);

        for it in thread.ancestors.iter().chain([&thread.post]).chain(&thread.replies) {
            self.check_thread_post(it);
            let post = it.id.revision().get();
            let is_cut = !above.contains(&post) && cut.contains(&post);
            assert_eq!(it.has_more_replies, is_cut, "{post}");
        }
    }

    fn check_thread_post(&self, it: &ThreadPost) {
        let post = it.id.revision().get();
        assert_eq!(it.parent.map(|parent| parent.revision().get()), self.oracle.parent(post));
        match &it.shown {
            Ok(view) => {
                assert_eq!((view.post.id(), self.gap(post)), (it.id, None));
                self.check_view(view);
            }
            Err(gap) => assert_eq!(Some(*gap), self.gap(post)),
        }
    }

    fn gap(&self, post: u64) -> Option<Gap> {
        match self.oracle.retracted(post) {
            Some(_) => Some(Gap::Deleted),
            None => (!self.oracle.sees(self.name, post)).then_some(Gap::Hidden),
        }
    }

    /// A whole list of users, read in pages.
    async fn users(&self, list: UserList, items_max: usize) -> Result<Vec<(String, u64)>, Error> {
        let (mut read, mut position) = (Vec::new(), None);
        loop {
            let page = self
                .engine
                .ask(ListUsers { viewer: user(self.name), list: list.clone(), items_max, position })
                .await?;
            position = next(&page, items_max);
            let listed = page.items.into_iter();
            read.extend(listed.map(|it| (it.user.to_string(), it.since.get())));
            assert!(read.len() <= USERS.len(), "a user is listed twice");
            if position.is_none() {
                return Ok(read);
            }
        }
    }

    /// A whole list of posts, read in pages.
    async fn posts(&self, list: PostList, items_max: usize) -> Result<Vec<PostView>, Error> {
        let (mut read, mut position) = (Vec::new(), None);
        loop {
            let page = self
                .engine
                .ask(ListPosts { viewer: user(self.name), list, items_max, position })
                .await?;
            position = next(&page, items_max);
            read.extend(page.items);
            if position.is_none() {
                return Ok(read);
            }
        }
    }
}

/// The position of the next page. Every page but the last is full.
fn next<T>(page: &Page<T>, items_max: usize) -> Option<PagePosition> {
    assert!(page.items.len() <= items_max);
    assert!(page.next.is_none() || page.items.len() == items_max, "a page is short");
    page.next
}

fn has_a_post(kind: NotificationKind) -> bool {
    matches!(kind, NotificationKind::Reply | NotificationKind::Quote | NotificationKind::Mention)
}
