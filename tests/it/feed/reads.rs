//! Posts, lists, counts, threads, profiles and notifications, as everybody sees them: what the
//! engine reads is what the slow model of [`crate::oracle::world`] says, whether it comes from memory or
//! from the index, and after every restart.

use std::time::Duration;
use whimbrel::query::{
    GetPosts, GetProfile, GetRelationships, ListNotifications, ListPosts, ListUsers,
};

use tokio::task::JoinSet;
use whimbrel::engine::{Draft, Engine};
use whimbrel::model::{Change, Content, PostId, PostRef, ReplyTo, Revision, SeveredFollows};
use whimbrel::query::Error;
use whimbrel::query::{
    Gap, GetThread, Page, PagePosition, PostList, PostView, ThreadPost, UserList,
};
use whimbrel::state::NotificationKind;

use crate::harness::core::{Core, post, user};
use crate::oracle::relations::{EdgeKind, ReactionKind, SetRelation};
use crate::oracle::world::{Tie, World};

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
const TEXTS: [&str; 4] = ["hello", "good morning", "hello @bob and @carol", "@alice @dave"];
/// Histories, and the changes that are tried in each.
const SEEDS: u64 = 10;
const STEPS: usize = 240;
/// Changes between two comparisons of all that can be read.
const COMPARE_EVERY: usize = 24;

/// Random histories of everything that can change, read by everybody in pages of any size.
#[test]
fn what_is_read_is_what_the_model_says() {
    for seed in 0..SEEDS {
        runtime().block_on(compare(seed));
    }
}

async fn compare(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // All in memory; and nearly nothing, with an index that is written all the time.
    let mut cores = [
        Core::limited(|_| {}),
        Core::indexed(|limits| {
            limits.recent_revisions_per_author_max = 1;
            limits.index_events_max = 5;
            limits.index_write_delay_max = Duration::from_millis(1);
            limits.post_cache_bytes_max = 1 << 10;
            limits.count_cache_posts_max = 8;
        }),
    ];
    let mut world = World::default();
    for step in 1..=STEPS {
        change(&cores, &mut world, &mut random).await;
        if random.usize(..60) == 0 {
            cores[1].restart().await;
        }
        if step % COMPARE_EVERY == 0 {
            for core in &cores {
                for viewer in [random.usize(..USERS.len()), random.usize(..USERS.len())] {
                    Reader { engine: core.engine(), viewer: USERS[viewer], world: &world }
                        .check_all(&mut random)
                        .await;
                }
            }
        }
    }
}

/// Many like and unlike the same posts at once, while the index is written and memory shortened:
/// whoever has an answer reads what it says, and in the end counts are the lengths of the lists.
#[test]
fn counts_are_exact_while_they_change() {
    const POSTS: usize = 40;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.unwrap().block_on(async {
        let core = Core::indexed(|limits| {
            // Most leave memory before they are changed again.
            limits.index_write_delay_max = Duration::from_millis(1);
        });
        let mut posts = Vec::new();
        for _ in 0..POSTS {
            posts.push(core.publish("author", "like me").await.post.id());
        }
        let mut tasks = JoinSet::new();
        for name in USERS {
            tasks.spawn(like_and_look(core.engine().clone(), name, posts.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let views = core
            .engine()
            .ask(GetPosts { viewer: user("author"), ids: posts.clone() })
            .await
            .unwrap();
        assert_eq!(views.len(), POSTS);
        for view in views {
            let list = UserList::Likes(view.post.id());
            let page = core
                .engine()
                .ask(ListUsers { viewer: user("author"), list, items_max: 100, position: None })
                .await
                .unwrap();
            assert_eq!(page.items.len() as u64, view.counts.likes);
        }
    });
}

async fn like_and_look(engine: Engine, name: &'static str, posts: Vec<PostId>) {
    let mut random = fastrand::Rng::with_seed(name.len() as u64 + u64::from(name.as_bytes()[0]));
    for _ in 0..150 {
        let id = posts[random.usize(..posts.len())];
        let likes = random.bool();
        let kind = if likes { ReactionKind::Like } else { ReactionKind::Unlike };
        engine.react(kind, user(name), id).await.unwrap();
        let view =
            engine.ask(GetPosts { viewer: user(name), ids: vec![id] }).await.unwrap().remove(0);
        assert_eq!(view.liked, likes);
        let others = if likes { 1 } else { 0 }..=USERS.len() as u64 - u64::from(!likes);
        assert!(others.contains(&view.counts.likes), "{others:?}: {view:?}");
        // Whatever is kept of this must not outlive the next change.
        engine.ask(GetPosts { viewer: user(name), ids: posts.clone() }).await.unwrap();
    }
}

/// Tries one change on all `cores`; if it is one, tells the world.
async fn change(cores: &[Core], world: &mut World, random: &mut fastrand::Rng) {
    use EdgeKind::{Block, Follow, Mute, Unblock, Unfollow, Unmute};
    use ReactionKind::{Like, Repost, Unlike, Unrepost};

    let (one, other) = (USERS[random.usize(..USERS.len())], USERS[random.usize(..USERS.len())]);
    let posts = world.posts();
    // The newer ones are talked about.
    let any_post = |random: &mut fastrand::Rng| {
        let newest = posts.len().min(12);
        (newest > 0).then(|| posts[posts.len() - 1 - random.usize(..newest)])
    };
    let change = match random.u8(..20) {
        0..5 => {
            let kinds = [Follow, Follow, Follow, Unfollow, Block, Unblock, Unblock, Mute, Unmute];
            let kind = kinds[random.usize(..kinds.len())];
            let change = edge(world, kind, one, other);
            let mut changed = Vec::new();
            for core in cores {
                let call = core.engine().change_edge(kind, user(one), user(other)).await;
                changed.push(call.is_ok_and(|call| call.changed));
            }
            all(&changed).then_some(change)
        }
        5..11 => {
            let kinds = [Like, Like, Like, Unlike, Repost, Repost, Unrepost];
            let kind = kinds[random.usize(..kinds.len())];
            let Some(place) = any_post(random) else { return };
            let (id, user) = (named(place), user(one));
            let post = PostRef { id, author: crate::harness::core::user(world.author(place)) };
            let mut changed = Vec::new();
            for core in cores {
                let call = core.engine().react(kind, user.clone(), id).await;
                changed.push(call.is_ok_and(|call| call.changed));
            }
            let change = match kind {
                Like => Change::Like { user, post },
                Unlike => Change::Unlike { user, post, since: None },
                Repost => Change::Repost { user, post },
                Unrepost => Change::Unrepost { user, post, since: None },
            };
            all(&changed).then_some(change)
        }
        11..17 => {
            let text = post(TEXTS[random.usize(..TEXTS.len())]);
            let reply_to = any_post(random).filter(|_| random.u8(..10) < 7);
            let quote = any_post(random).filter(|_| random.u8(..10) < 3);
            let content = content(world, text.clone(), reply_to, quote);
            let draft =
                Draft { reply_to: reply_to.map(named), quote: quote.map(named), ..text.into() };
            let mut changed = Vec::new();
            for core in cores {
                changed.push(core.engine().publish(user(one), draft.clone(), None).await.is_ok());
            }
            let change = Change::Publish { author: user(one), content, request_id: None };
            all(&changed).then_some(change)
        }
        17..19 => {
            let Some(place) = any_post(random) else { return };
            let author = user(world.author(place));
            let mut changed = Vec::new();
            for core in cores {
                let call = core.engine().delete(author.clone(), named(place)).await;
                changed.push(call.expect("the author may delete").changed);
            }
            let content = world.content(place);
            let change = Change::Delete {
                post: PostRef { id: named(place), author },
                reply_to: content.reply_to.as_ref().map(|to| to.parent.id),
                quote: content.quote.as_ref().map(|quote| quote.id),
                notified: Vec::new(),
            };
            all(&changed).then_some(change)
        }
        _ => {
            let mut changed = Vec::new();
            for core in cores {
                let call = core.engine().mark_seen(user(one), None).await.expect("it is noted");
                changed.push(call.changed);
            }
            let newest = world.notifications(one).first().map_or(0, |&(at, _)| at);
            let until = Revision::new(newest);
            all(&changed).then(|| Change::See { user: user(one), until })
        }
    };
    if let Some(change) = change {
        world.push(change);
    }
}

/// Whether something was changed: everywhere or nowhere.
fn all(changed: &[bool]) -> bool {
    assert!(changed.iter().all(|it| *it == changed[0]), "{changed:?}");
    changed[0]
}

fn edge(world: &World, kind: EdgeKind, one: &str, other: &str) -> Change {
    let follows = |one: &str, other: &str| {
        world.since(&Tie::Follow(one.to_owned(), other.to_owned()), world.head()).is_some()
    };
    let (following, follower) = (follows(one, other), follows(other, one));
    let (one, other) = (user(one), user(other));
    match kind {
        EdgeKind::Follow => Change::Follow { follower: one, followee: other },
        EdgeKind::Unfollow => Change::Unfollow { follower: one, followee: other, since: None },
        EdgeKind::Block => {
            let severed = SeveredFollows { following, follower };
            Change::Block { blocker: one, blocked: other, severed }
        }
        EdgeKind::Unblock => Change::Unblock { blocker: one, blocked: other },
        EdgeKind::Mute => Change::Mute { muter: one, muted: other },
        EdgeKind::Unmute => Change::Unmute { muter: one, muted: other, follows: following },
    }
}

fn content(
    world: &World,
    text: whimbrel::model::PostText,
    reply_to: Option<u64>,
    quote: Option<u64>,
) -> Content {
    let referred = |place| PostRef { id: named(place), author: user(world.author(place)) };
    let reply_to = reply_to.map(|place| {
        let above = world.content(place).reply_to.as_ref();
        let root = above.map_or_else(|| referred(place), |above| above.root.clone());
        Box::new(ReplyTo { parent: referred(place), root })
    });
    Content { reply_to, quote: quote.map(referred), ..Content::from_text(text) }
}

/// Somebody who reads everything.
struct Reader<'a> {
    engine: &'a Engine,
    viewer: &'static str,
    world: &'a World,
}

impl Reader<'_> {
    async fn check_all(&self, random: &mut fastrand::Rng) {
        let head = self.engine.cursor();
        self.engine.reached(Some(head), Duration::ZERO).await.expect("it is there");
        self.check_posts().await;
        let posts = self.world.posts();
        for _ in 0..posts.len().min(8) {
            let place = posts[random.usize(..posts.len())];
            let items_max = random.usize(1..5);
            self.check_lists_of_post(place, items_max).await;
            self.check_thread(place, random.usize(..5), random.usize(..9)).await;
        }
        for other in USERS {
            self.check_person(other, random.usize(1..4)).await;
        }
        self.check_hiding(random.usize(1..4)).await;
        self.check_notifications(random.usize(1..6)).await;
    }

    /// Every post, and those that are none.
    async fn check_posts(&self) {
        let ids: Vec<_> = (1..self.world.head() + 3).rev().map(named).collect();
        let posts = self
            .engine
            .ask(GetPosts { viewer: user(self.viewer), ids })
            .await
            .expect("posts are read");
        let read: Vec<_> = posts.iter().map(|view| view.post.revision.get()).collect();
        assert_eq!(read, self.world.posts_seen(self.viewer, |_| true), "{}", self.viewer);
        posts.iter().for_each(|view| self.check_view(view));
    }

    /// The counts are the lengths of the lists.
    fn check_view(&self, view: &PostView) {
        let place = view.post.revision.get();
        let (likes, reposts) = (self.likes(place), self.reposts(place));
        let counts = [
            likes.len(),
            reposts.len(),
            self.answers(PostList::Replies(named(place))).len(),
            self.answers(PostList::Quotes(named(place))).len(),
        ];
        let read = view.counts;
        let read = [read.likes, read.reposts, read.replies, read.quotes];
        assert_eq!(read.map(|count| count as usize), counts, "{} of {place}", self.viewer);
        let is_in = |list: &[(String, u64)]| list.iter().any(|(user, _)| user == self.viewer);
        assert_eq!((view.liked, view.reposted), (is_in(&likes), is_in(&reposts)), "{place}");
        let (said, author) = (self.world.content(place), self.world.author(place));
        assert!(view.post.content.is_same_request(said), "{place}");
        let is_mentioned = |name: &&str| {
            let is_user = *name == author || self.world.is_user(name, place);
            is_user && said.text.as_str().contains(&format!("@{name}"))
        };
        // The texts name them in this order too.
        let mentioned: Vec<_> = USERS.into_iter().filter(is_mentioned).map(user).collect();
        assert_eq!(*view.post.content.mentioned, mentioned, "{place}");
        assert_eq!(view.post.content.facets.all().len(), mentioned.len(), "{place}");
    }

    async fn check_lists_of_post(&self, place: u64, items_max: usize) {
        let id = named(place);
        let is_seen = self.world.posts_seen(self.viewer, |_| true).contains(&place);
        for (list, expected) in
            [(UserList::Likes(id), self.likes(place)), (UserList::Reposts(id), self.reposts(place))]
        {
            match self.users(list.clone(), items_max).await {
                Ok(read) => assert_eq!(read, expected, "{} {list:?}", self.viewer),
                Err(Error::PostNotFound { post }) => assert!(post == id && !is_seen),
                Err(error) => panic!("{list:?}: {error}"),
            }
        }
        for list in [PostList::Replies(id), PostList::Quotes(id)] {
            match self.read_answers(list, items_max).await {
                Ok(read) => {
                    let places: Vec<_> = read.iter().map(|it| it.post.revision.get()).collect();
                    assert_eq!(places, self.answers(list), "{} {list:?}", self.viewer);
                    read.iter().for_each(|view| self.check_view(view));
                    assert!(is_seen);
                }
                Err(Error::PostNotFound { post }) => assert!(post == id && !is_seen),
                Err(error) => panic!("{list:?}: {error}"),
            }
        }
    }

    async fn check_person(&self, other: &str, items_max: usize) {
        let (now, viewer) = (self.world.head(), self.viewer);
        let is = |tie: Tie| self.world.since(&tie, now).is_some();
        let pair = || (viewer.to_owned(), other.to_owned());
        let back = || (other.to_owned(), viewer.to_owned());
        let read = self
            .engine
            .ask(GetRelationships { user: user(viewer), others: vec![user(other)] })
            .await
            .unwrap()
            .remove(0);
        assert_eq!(read.user, user(other));
        let read = [read.following, read.followed_by, read.blocking, read.blocked_by, read.muting];
        let expected = [
            is(Tie::Follow(pair().0, pair().1)),
            is(Tie::Follow(back().0, back().1)),
            is(Tie::Block(pair().0, pair().1)),
            is(Tie::Block(back().0, back().1)),
            is(Tie::Mute(pair().0, pair().1)),
        ];
        assert_eq!(read, expected, "{viewer} {other}");

        let followers = self.world.tied(Some(viewer), |tie| match tie {
            Tie::Follow(one, followee) if followee == other => Some(one),
            _ => None,
        });
        let following = self.world.tied(Some(viewer), |tie| match tie {
            Tie::Follow(follower, one) if follower == other => Some(one),
            _ => None,
        });
        let lists = [UserList::Followers(user(other)), UserList::Following(user(other))];
        let profile = self.engine.ask(GetProfile { viewer: user(viewer), user: user(other) }).await;
        if self.world.are_apart(viewer, other, now) {
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
        let posts = self.world.posts_of(viewer, other, true, false);
        let profile = profile.expect("the profile is read");
        let read = [profile.followers, profile.following, profile.posts, profile.likes_received];
        let likes = self.world.likes_received(viewer, other);
        let expected = [followers.len(), following.len(), posts.len(), likes];
        assert_eq!(read.map(|number| number as usize), expected, "{viewer} {other}");
    }

    async fn check_hiding(&self, items_max: usize) {
        let hidden = |kind: fn(String, String) -> Tie| {
            let now = self.world.head();
            let since = |other: &&str| {
                let tie = kind(self.viewer.to_owned(), other.to_string());
                Some((other.to_string(), self.world.since(&tie, now)?))
            };
            let mut hidden: Vec<_> = USERS.iter().filter_map(since).collect();
            hidden.sort_by_key(|&(_, since)| std::cmp::Reverse(since));
            hidden
        };
        let blocks = self.users(UserList::Blocks, items_max).await.expect("blocks are read");
        assert_eq!(blocks, hidden(Tie::Block));
        let mutes = self.users(UserList::Mutes, items_max).await.expect("mutes are read");
        assert_eq!(mutes, hidden(Tie::Mute));
    }

    async fn check_notifications(&self, items_max: usize) {
        let expected = self.notifications();
        let seen_until = (1..=self.world.head()).rev().find_map(|at| match self.world.change(at) {
            Change::See { user, until } if user.as_str() == self.viewer => Some(until.get()),
            _ => None,
        });
        let seen_until = seen_until.unwrap_or(0);
        let unseen = expected.iter().filter(|told| told.0 > seen_until).count();
        let (mut read, mut place) = (Vec::new(), None);
        loop {
            let answer = self
                .engine
                .ask(ListNotifications { user: user(self.viewer), items_max, position: place })
                .await;
            let answer = answer.expect("notifications are read");
            assert_eq!((answer.unseen, answer.seen_until.get()), (unseen, seen_until));
            place = next(&answer.page, items_max);
            for it in answer.page.items {
                assert_eq!(
                    it.post.map(|post| post.revision),
                    is_of_a_post(it.kind).then_some(it.revision)
                );
                let subject = it.subject.map(|post| post.revision().get());
                read.push((it.revision.get(), it.kind, it.actor.to_string(), subject));
            }
            if place.is_none() {
                break;
            }
        }
        assert_eq!(read, expected, "{}", self.viewer);
    }

    /// What the viewer is told of, newest first.
    fn notifications(&self) -> Vec<(u64, NotificationKind, String, Option<u64>)> {
        let (world, viewer, now) = (self.world, self.viewer, self.world.head());
        let stands = |tie: Tie, at| world.since(&tie, now) == Some(at);
        let is_there = |place: u64| world.retracted(place).is_none();
        let told = |at: u64| {
            let reaction = |kind, user: &str, post: &PostRef, tie| {
                let place = post.id.revision().get();
                let is_told = post.author.as_str() == viewer && stands(tie, at) && is_there(place);
                is_told.then(|| (kind, user.to_owned(), Some(place)))
            };
            let (kind, actor, subject) = match world.change(at) {
                Change::Follow { follower, followee } if followee.as_str() == viewer => {
                    let tie = Tie::Follow(follower.to_string(), viewer.to_owned());
                    stands(tie, at)
                        .then(|| (NotificationKind::Follow, follower.to_string(), None))?
                }
                Change::Like { user, post } => {
                    let tie = Tie::Like(user.to_string(), post.id.revision().get());
                    reaction(NotificationKind::Like, user.as_str(), post, tie)?
                }
                Change::Repost { user, post } => {
                    let tie = Tie::Repost(user.to_string(), post.id.revision().get());
                    reaction(NotificationKind::Repost, user.as_str(), post, tie)?
                }
                Change::Publish { author, content, .. } if is_there(at) => {
                    let is_viewers = |post: &&PostRef| post.author.as_str() == viewer;
                    let parent = content.reply_to.as_ref().map(|to| &to.parent);
                    let place = |post: &PostRef| Some(post.id.revision().get());
                    let is_mentioned = world.mentions(content, viewer, at)
                        && !world.are_apart(author.as_str(), viewer, at);
                    let (kind, subject) = if let Some(parent) = parent.filter(is_viewers) {
                        (NotificationKind::Reply, place(parent))
                    } else if let Some(quote) = content.quote.as_ref().filter(is_viewers) {
                        (NotificationKind::Quote, place(quote))
                    } else if is_mentioned {
                        (NotificationKind::Mention, None)
                    } else {
                        return None;
                    };
                    subject.is_none_or(is_there).then(|| (kind, author.to_string(), subject))?
                }
                _ => return None,
            };
            let mute = Tie::Mute(viewer.to_owned(), actor.clone());
            let is_hidden =
                world.are_apart(viewer, &actor, now) || world.since(&mute, now).is_some();
            (actor != viewer && !is_hidden).then_some((at, kind, actor, subject))
        };
        (1..=now).rev().filter_map(told).collect()
    }

    async fn check_thread(&self, place: u64, depth_max: usize, replies_max: usize) {
        let (viewer, post) = (user(self.viewer), named(place));
        let query = GetThread { viewer, post, after: None, depth_max, replies_max };
        let thread = self.engine.ask(query).await.expect("there is such a post");

        let mut above = Vec::new();
        let mut next = self.parent(place);
        while let Some(parent) = next {
            above.push(parent);
            next = self.parent(parent);
        }
        above.reverse();
        let read: Vec<_> = thread.ancestors.iter().map(|it| it.id.revision().get()).collect();
        assert_eq!(read, above);
        assert_eq!(thread.post.id, post);

        // Level by level; what is neither shown nor has something below that is, is left out.
        let mut level = vec![place];
        let (mut below, mut cut) = (Vec::new(), Vec::new());
        for depth in 1..=depth_max + 1 {
            let left = if depth > depth_max { 0 } else { replies_max - below.len() };
            let mut found: Vec<_> =
                level.iter().flat_map(|&parent| self.answers_ever(parent)).collect();
            found.retain(|&answer| self.is_alive(answer));
            found.sort_unstable();
            cut.extend(found.iter().skip(left).filter_map(|&answer| self.parent(answer)));
            found.truncate(left);
            below.extend(found.iter().map(|&answer| (answer, depth)));
            level = found;
        }
        let read = thread.replies.iter().map(|it| (it.id.revision().get(), it.depth));
        assert_eq!(read.collect::<Vec<_>>(), below, "{} {place} {depth_max}", self.viewer);

        for it in thread.ancestors.iter().chain([&thread.post]).chain(&thread.replies) {
            self.check_thread_post(it);
            let place = it.id.revision().get();
            let is_cut = !above.contains(&place) && cut.contains(&place);
            assert_eq!(it.has_more_replies, is_cut, "{place}");
        }
    }

    fn check_thread_post(&self, it: &ThreadPost) {
        let place = it.id.revision().get();
        assert_eq!(it.parent.map(|parent| parent.revision().get()), self.parent(place));
        match &it.shown {
            Ok(view) => {
                assert_eq!((view.post.id(), self.gap(place)), (it.id, None));
                self.check_view(view);
            }
            Err(gap) => assert_eq!(Some(*gap), self.gap(place)),
        }
    }

    /// Whether an answer is shown, or one below it is, with only gaps between.
    fn is_alive(&self, answer: u64) -> bool {
        self.gap(answer).is_none()
            || self.answers_ever(answer).into_iter().any(|it| self.is_alive(it))
    }

    fn gap(&self, place: u64) -> Option<Gap> {
        let is_apart =
            self.world.are_apart(self.viewer, self.world.author(place), self.world.head());
        match self.world.retracted(place) {
            Some(_) => Some(Gap::Deleted),
            None => is_apart.then_some(Gap::Hidden),
        }
    }

    fn parent(&self, place: u64) -> Option<u64> {
        let reply_to = self.world.content(place).reply_to.as_ref();
        reply_to.map(|to| to.parent.id.revision().get())
    }

    /// Everything that ever answered a post, oldest first.
    fn answers_ever(&self, place: u64) -> Vec<u64> {
        let posts = self.world.posts().into_iter();
        posts.filter(|&answer| self.parent(answer) == Some(place)).collect()
    }

    fn likes(&self, place: u64) -> Vec<(String, u64)> {
        self.world.tied(Some(self.viewer), |tie| match tie {
            Tie::Like(user, of) if *of == place => Some(user),
            _ => None,
        })
    }

    fn reposts(&self, place: u64) -> Vec<(String, u64)> {
        self.world.tied(Some(self.viewer), |tie| match tie {
            Tie::Repost(user, of) if *of == place => Some(user),
            _ => None,
        })
    }

    fn answers(&self, list: PostList) -> Vec<u64> {
        self.world.posts_seen(self.viewer, |content| match list {
            PostList::Replies(id) => content.reply_to.as_ref().is_some_and(|to| to.parent.id == id),
            PostList::Quotes(id) => content.quote.as_ref().is_some_and(|quote| quote.id == id),
        })
    }

    /// All of a list, read in pages.
    async fn users(&self, list: UserList, items_max: usize) -> Result<Vec<(String, u64)>, Error> {
        let (mut read, mut place) = (Vec::new(), None);
        loop {
            let page = self
                .engine
                .ask(ListUsers {
                    viewer: user(self.viewer),
                    list: list.clone(),
                    items_max,
                    position: place,
                })
                .await?;
            place = next(&page, items_max);
            let listed = page.items.into_iter();
            read.extend(listed.map(|it| (it.user.to_string(), it.since.get())));
            assert!(read.len() <= USERS.len(), "somebody is there twice");
            if place.is_none() {
                return Ok(read);
            }
        }
    }

    async fn read_answers(&self, list: PostList, items_max: usize) -> Result<Vec<PostView>, Error> {
        let (mut read, mut place) = (Vec::new(), None);
        loop {
            let page = self
                .engine
                .ask(ListPosts { viewer: user(self.viewer), list, items_max, position: place })
                .await?;
            place = next(&page, items_max);
            read.extend(page.items);
            if place.is_none() {
                return Ok(read);
            }
        }
    }
}

/// Where the next page begins. Every page but the last is full.
fn next<T>(page: &Page<T>, items_max: usize) -> Option<PagePosition> {
    assert!(page.items.len() <= items_max);
    assert!(page.next.is_none() || page.items.len() == items_max, "a page is short");
    page.next
}

fn is_of_a_post(kind: NotificationKind) -> bool {
    matches!(kind, NotificationKind::Reply | NotificationKind::Quote | NotificationKind::Mention)
}

fn named(place: u64) -> PostId {
    PostId::from_revision(Revision::new(place))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
