//! The mixed workload: the calls, their weights, and the users and posts of each. Never makes a
//! call.
//!
//! Nine calls of ten read. More than half of all calls are pages of a feed, because an app requests
//! one whenever it opens, and the next as its reader scrolls. The other reads follow from a feed: a
//! thread, a profile with its posts, the notifications, and sometimes a list of users. Half of the
//! writes are likes, which cost a tap; posts are fewer, and deletions and unlikes are rare.
//!
//! Users and posts are drawn from a power distribution: some users are much more active than
//! others, a few are followed by nearly all, and the newest posts get the most reads, likes and
//! replies.

use std::collections::{BTreeSet, HashSet};

use fastrand::Rng;

use crate::data::{Action, Posted, UserAction};

/// The sum of all weights.
pub(crate) const WEIGHTS: u32 = 1_000;
/// Posts of one GetPosts.
const POSTS_AT_ONCE: usize = 20;
/// Most page tokens that are remembered for a next page.
const PAGES_MAX: usize = 512;
/// Exponents of the draws: 1 is uniform; at 3 the first of 10,000 is drawn every 22nd time.
const ACTIVE: f64 = 1.5;
const POPULAR: f64 = 3.0;
const RECENT: f64 = 4.0;

/// A kind of call, in the order of [`MIX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    NewsFeed,
    NextPage,
    GetThread,
    ListNotifications,
    GetProfile,
    ListPosts,
    GetPosts,
    ListLikes,
    ListReplies,
    ListFollowers,
    ListFollowing,
    GetRelationships,
    Like,
    Post,
    Reply,
    Repost,
    Follow,
    MarkNotificationsSeen,
    Unlike,
    Unfollow,
    DeletePost,
}

/// A kind of call with its weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) call: Call,
    /// The prefix of the names of its figures.
    pub(crate) name: &'static str,
    /// Its name in the report.
    pub(crate) label: &'static str,
    /// Its frequency, of [`WEIGHTS`].
    pub(crate) weight: u32,
}

/// The whole mix: reads, then writes.
pub(crate) const MIX: [Part; 21] = [
    part(Call::NewsFeed, "news_feed", "NewsFeed, first page", 400),
    part(Call::NextPage, "next_page", "NewsFeed, next page", 120),
    part(Call::GetThread, "get_thread", "GetThread", 100),
    part(Call::ListNotifications, "list_notifications", "ListNotifications", 80),
    part(Call::GetProfile, "get_profile", "GetProfile", 60),
    part(Call::ListPosts, "list_posts", "ListPosts", 60),
    part(Call::GetPosts, "get_posts", "GetPosts, 20 posts", 30),
    part(Call::ListLikes, "list_likes", "ListLikes", 15),
    part(Call::ListReplies, "list_replies", "ListReplies", 10),
    part(Call::ListFollowers, "list_followers", "ListFollowers", 10),
    part(Call::ListFollowing, "list_following", "ListFollowing", 5),
    part(Call::GetRelationships, "get_relationships", "GetRelationships", 10),
    part(Call::Like, "like", "Like", 50),
    part(Call::Post, "post", "Publish, a post", 12),
    part(Call::Reply, "reply", "Publish, a reply", 10),
    part(Call::Repost, "repost", "Repost", 8),
    part(Call::Follow, "follow", "Follow", 7),
    part(Call::MarkNotificationsSeen, "mark_seen", "MarkNotificationsSeen", 5),
    part(Call::Unlike, "unlike", "Unlike", 4),
    part(Call::Unfollow, "unfollow", "Unfollow", 2),
    part(Call::DeletePost, "delete_post", "DeletePost", 2),
];

const fn part(call: Call, name: &'static str, label: &'static str, weight: u32) -> Part {
    Part { call, name, label, weight }
}

/// One call with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub(crate) call: Call,
    /// The caller.
    pub(crate) user: u32,
    /// The other user of the call, or the caller.
    pub(crate) other: u32,
    /// The post of the call; several only for GetPosts.
    pub(crate) posts: Vec<Posted>,
    pub(crate) page_token: String,
}

/// The users, posts, likes and follows that callers know of.
#[derive(Debug)]
pub(crate) struct World {
    rng: Rng,
    users: u32,
    /// In the order of publishing; never empty.
    posts: Vec<Posted>,
    likes: Vec<(u32, Posted)>,
    follows: Vec<(u32, u32)>,
    pages: Vec<(u32, String)>,
}

impl Call {
    /// Whether the call changes nothing.
    pub(crate) fn is_read(self) -> bool {
        self.index() < Self::Like.index()
    }

    /// The index of the call in [`MIX`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl World {
    /// A world of users with at most `followees` each, the edges, and a history of `actions`
    /// actions that follow the edges in the log. Equal arguments make equal worlds.
    pub(crate) fn with_history(
        seed: u64,
        users: u32,
        followees: u32,
        actions: usize,
    ) -> (Self, Vec<(u32, u32)>, Vec<UserAction>) {
        let rng = Rng::with_seed(seed);
        let mut world = Self {
            rng,
            users,
            posts: Vec::new(),
            likes: Vec::new(),
            follows: Vec::new(),
            pages: Vec::new(),
        };
        for user in 0..users {
            let chosen: BTreeSet<u32> = (0..followees).map(|_| world.another(user)).collect();
            world.follows.extend(chosen.into_iter().map(|followee| (user, followee)));
        }
        let edges = world.follows.clone();
        let history = world.draw_history(edges.len() as u64, actions);
        (world, edges, history)
    }

    /// Draws `actions` actions. The log has `in_log` events before them.
    fn draw_history(&mut self, in_log: u64, actions: usize) -> Vec<UserAction> {
        let mut history = Vec::with_capacity(actions);
        let (mut liked, mut reposted) = (HashSet::new(), HashSet::new());
        while history.len() < actions {
            let revision = in_log + history.len() as u64 + 1;
            let call = if history.is_empty() { Call::Post } else { self.call() };
            if !matches!(call, Call::Post | Call::Reply | Call::Like | Call::Repost) {
                continue;
            }
            let Draw { user, posts, .. } = self.draw_of(call);
            let action = match (call, posts.first()) {
                (Call::Reply, Some(&parent)) => {
                    self.replied(user, parent, revision);
                    Action::Reply(parent)
                }
                (Call::Like, Some(&post)) if liked.insert((user, post.revision)) => {
                    self.liked(user, post);
                    Action::Like(post)
                }
                (Call::Repost, Some(&post)) if reposted.insert((user, post.revision)) => {
                    Action::Repost(post)
                }
                (Call::Post, _) => {
                    self.posted(user, revision);
                    Action::Post
                }
                _ => continue,
            };
            history.push(UserAction { user, action });
        }
        history
    }

    /// The next call.
    pub(crate) fn draw(&mut self) -> Draw {
        let call = self.call();
        self.draw_of(call)
    }

    /// Adds a post of `user`.
    pub(crate) fn posted(&mut self, user: u32, revision: u64) {
        self.posts.push(Posted { revision, author: user, root: (revision, user) });
    }

    /// Adds a reply of `user` to `parent`.
    pub(crate) fn replied(&mut self, user: u32, parent: Posted, revision: u64) {
        self.posts.push(Posted { revision, author: user, root: parent.root });
    }

    /// Adds a like of `user`.
    pub(crate) fn liked(&mut self, user: u32, post: Posted) {
        self.likes.push((user, post));
    }

    /// Adds a follow of `user`.
    pub(crate) fn followed(&mut self, user: u32, other: u32) {
        self.follows.push((user, other));
    }

    /// Adds a page that `user` may read next.
    pub(crate) fn turned(&mut self, user: u32, page_token: String) {
        if !page_token.is_empty() && self.pages.len() < PAGES_MAX {
            self.pages.push((user, page_token));
        }
    }

    /// The newest post.
    pub(crate) fn newest(&self) -> Option<Posted> {
        self.posts.last().copied()
    }

    fn call(&mut self) -> Call {
        call_at(self.rng.u32(..WEIGHTS))
    }

    fn draw_of(&mut self, call: Call) -> Draw {
        let user = self.skewed(self.users as usize, ACTIVE) as u32;
        let draw = Draw { call, user, other: user, posts: Vec::new(), page_token: String::new() };
        match call {
            Call::NewsFeed | Call::ListNotifications | Call::MarkNotificationsSeen | Call::Post => {
                draw
            }
            Call::NextPage => match self.pages.pop() {
                Some((user, page_token)) => Draw { user, page_token, ..draw },
                None => Draw { call: Call::NewsFeed, ..draw },
            },
            Call::GetProfile
            | Call::ListPosts
            | Call::ListFollowers
            | Call::ListFollowing
            | Call::GetRelationships
            | Call::Follow => Draw { other: self.another(user), ..draw },
            Call::GetThread
            | Call::ListLikes
            | Call::ListReplies
            | Call::Like
            | Call::Reply
            | Call::Repost => Draw { posts: vec![self.recent()], ..draw },
            Call::GetPosts => {
                Draw { posts: (0..POSTS_AT_ONCE).map(|_| self.recent()).collect(), ..draw }
            }
            Call::Unlike if self.likes.is_empty() => self.draw_of(Call::Like),
            Call::Unlike => {
                let at = self.rng.usize(..self.likes.len());
                let (user, post) = self.likes.swap_remove(at);
                Draw { user, posts: vec![post], ..draw }
            }
            Call::Unfollow if self.follows.is_empty() => self.draw_of(Call::Follow),
            Call::Unfollow => {
                let at = self.rng.usize(..self.follows.len());
                let (user, other) = self.follows.swap_remove(at);
                Draw { user, other, ..draw }
            }
            // One post always remains for the reads.
            Call::DeletePost if self.posts.len() < 2 => Draw { call: Call::Post, ..draw },
            Call::DeletePost => {
                let at = self.recent_at();
                let post = self.posts.remove(at);
                Draw { user: post.author, posts: vec![post], ..draw }
            }
        }
    }

    fn recent(&mut self) -> Posted {
        let at = self.recent_at();
        self.posts[at]
    }

    fn recent_at(&mut self) -> usize {
        self.posts.len() - 1 - self.skewed(self.posts.len(), RECENT)
    }

    /// Another user than `user`; popular users are more likely.
    fn another(&mut self, user: u32) -> u32 {
        let other = self.skewed(self.users as usize - 1, POPULAR) as u32;
        if other < user { other } else { other + 1 }
    }

    /// A number below `count`; small ones are more likely.
    fn skewed(&mut self, count: usize, power: f64) -> usize {
        let number = (self.rng.f64().powf(power) * count as f64) as usize;
        number.min(count - 1)
    }
}

/// The call at `point` of the weights in a row.
fn call_at(point: u32) -> Call {
    let mut end = 0;
    let found = MIX.iter().find(|part| {
        end += part.weight;
        point < end
    });
    found.map_or(Call::NewsFeed, |part| part.call)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: u32 = 500;

    fn world(seed: u64) -> (World, Vec<(u32, u32)>, Vec<UserAction>) {
        World::with_history(seed, USERS, 10, 5_000)
    }

    /// The aim: the mix is as documented: nine of ten calls read, and half of the writes are likes.
    #[test]
    fn nine_of_ten_read() {
        let weight = |is_in: &dyn Fn(Call) -> bool| -> u32 {
            MIX.iter().filter(|part| is_in(part.call)).map(|part| part.weight).sum()
        };
        assert_eq!(weight(&|_| true), WEIGHTS);
        assert_eq!(weight(&Call::is_read), WEIGHTS * 9 / 10);
        assert_eq!(weight(&|call| call == Call::Like), WEIGHTS / 20);
        for (place, part) in MIX.iter().enumerate() {
            assert_eq!(part.call.index(), place);
        }
    }

    /// The aim: each call has as many points as its weight.
    #[test]
    fn a_call_comes_as_often_as_it_weighs() {
        for part in MIX {
            let points = (0..WEIGHTS).filter(|point| call_at(*point) == part.call).count();
            assert_eq!(points, part.weight as usize, "{part:?}");
        }
    }

    /// The aim: equal seeds make equal histories and calls, and other seeds make others.
    #[test]
    fn a_seed_makes_one_world() {
        let of = |seed| {
            let (mut world, edges, history) = world(seed);
            let draws: Vec<_> = (0..1_000).map(|_| world.draw()).collect();
            format!("{edges:?} {history:?} {draws:?}")
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    /// The aim: a server could have written the history: no edge, like or repost is double, nobody
    /// follows themselves, and every action is on an earlier post.
    #[test]
    fn a_past_could_have_happened() {
        let (_, edges, history) = world(3);
        let distinct: BTreeSet<_> = edges.iter().collect();
        assert_eq!(distinct.len(), edges.len());
        assert!(edges.iter().all(|(user, followee)| user != followee && *followee < USERS));
        let mut posts = HashSet::new();
        let mut done = HashSet::new();
        assert_eq!(history.len(), 5_000);
        for (at, UserAction { user, action }) in history.iter().enumerate() {
            let revision = (edges.len() + at) as u64 + 1;
            let about = match action {
                Action::Post => None,
                Action::Reply(post) | Action::Like(post) | Action::Repost(post) => Some(post),
            };
            if let Some(post) = about {
                assert!(posts.contains(&(post.revision, post.author)));
                assert!(posts.contains(&post.root));
            }
            match action {
                Action::Post | Action::Reply(_) => assert!(posts.insert((revision, *user))),
                Action::Like(post) => assert!(done.insert((user, "like", post.revision))),
                Action::Repost(post) => assert!(done.insert((user, "repost", post.revision))),
            }
        }
    }

    /// The aim: a few users are drawn often, and new posts more often than old ones.
    #[test]
    fn draws_are_uneven() {
        let (mut world, ..) = world(4);
        let popular = (0..10_000).filter(|_| world.another(USERS - 1) < USERS / 100).count();
        assert!((1_500..3_000).contains(&popular), "{popular}");
        let middle = world.posts[world.posts.len() / 2].revision;
        let recent = (0..10_000).filter(|_| world.recent().revision > middle).count();
        assert!((8_000..9_000).contains(&recent), "{recent}");
    }

    /// The aim: a deleted post or an ended like is not drawn again.
    #[test]
    fn what_is_gone_is_not_drawn_again() {
        let (mut world, ..) = world(5);
        let mut deleted = HashSet::new();
        for _ in 0..100_000 {
            let draw = world.draw();
            if draw.call != Call::Unlike {
                let mut posts = draw.posts.iter();
                assert!(posts.all(|post| !deleted.contains(&post.revision)), "{draw:?}");
            }
            if draw.call == Call::DeletePost {
                deleted.insert(draw.posts[0].revision);
                assert_eq!(draw.user, draw.posts[0].author);
            }
        }
        assert!(!deleted.is_empty() && !world.posts.is_empty());
    }
}
