//! Posts, lists, counts, threads, profiles and notifications: the engine reads what the oracle
//! expects, from memory and from the index, and after every restart.

mod viewer;

use std::time::Duration;

use tokio::task::JoinSet;
use viewer::Viewer;
use whimbrel::engine::{Draft, Engine};
use whimbrel::model::{Change, Content, PostId, PostText, Relation, ReplyTo, Revision, UserId};
use whimbrel::query::{GetPosts, ListUsers, UserList};

use crate::harness::core::{Core, post, user};
use crate::oracle::any_change::delete;
use crate::oracle::history::{Oracle, post_id};

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
const TEXTS: [&str; 4] = ["hello", "good morning", "hello @bob and @carol", "@alice @dave"];
/// The number of histories, and of changes that are tried in each.
const SEEDS: u64 = 10;
const STEPS: usize = 240;
/// The number of changes between two comparisons.
const COMPARE_EVERY: usize = 24;

/// Random histories of all changes, read by all users in pages of any size.
#[test]
fn reads_match_the_oracle() {
    for seed in 0..SEEDS {
        runtime().block_on(compare(seed));
    }
}

async fn compare(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    // With all records in memory; and with nearly none, and an index that is written all the time.
    let mut cores = [
        Core::limited(|_| {}),
        Core::indexed(|limits| {
            limits.recent_revisions_per_author_max = 1;
            limits.index_events_max = 5;
            limits.index_write_delay_max = Duration::from_millis(1);
            limits.post_cache_bytes_max = 1 << 10;
            limits.recent_reactions_max = seed as usize % 4 * 4;
        }),
    ];
    let mut oracle = Oracle::default();
    for step in 1..=STEPS {
        change(&cores, &mut oracle, &mut random).await;
        if random.usize(..60) == 0 {
            cores[1].restart().await;
        }
        if step % COMPARE_EVERY == 0 {
            for core in &cores {
                for viewer in [random.usize(..USERS.len()), random.usize(..USERS.len())] {
                    Viewer { engine: core.engine(), name: USERS[viewer], oracle: &oracle }
                        .check_all(&mut random)
                        .await;
                }
            }
        }
    }
}

/// Many users like and unlike the same posts at once, while records move from memory to the index:
/// each user reads their own like at once, and at the end the counts are the lengths of the lists.
#[test]
fn counts_are_exact_while_they_change() {
    const POSTS: usize = 40;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.unwrap().block_on(async {
        let core = Core::indexed(|limits| {
            // Most likes leave memory before they change again.
            limits.index_write_delay_max = Duration::from_millis(1);
            limits.recent_reactions_max = 60;
        });
        let mut posts = Vec::new();
        for _ in 0..POSTS {
            posts.push(core.publish("author", "like me").await.post.id());
        }
        let mut tasks = JoinSet::new();
        for name in USERS {
            tasks.spawn(like_and_read(core.engine().clone(), name, posts.clone()));
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

async fn like_and_read(engine: Engine, name: &'static str, posts: Vec<PostId>) {
    let mut random = fastrand::Rng::with_seed(name.len() as u64 + u64::from(name.as_bytes()[0]));
    for _ in 0..150 {
        let id = posts[random.usize(..posts.len())];
        let likes = random.bool();
        engine.set(Relation::Like(user(name), id), likes).await.unwrap();
        let view =
            engine.ask(GetPosts { viewer: user(name), ids: vec![id] }).await.unwrap().remove(0);
        assert_eq!(view.liked, likes);
        let others = if likes { 1 } else { 0 }..=USERS.len() as u64 - u64::from(!likes);
        assert!(others.contains(&view.counts.likes), "{others:?}: {view:?}");
        // Fills the count cache, which must not outlive the next change.
        engine.ask(GetPosts { viewer: user(name), ids: posts.clone() }).await.unwrap();
    }
}

/// Tries one random change on all `cores`, and pushes it to the oracle if it had an effect.
async fn change(cores: &[Core], oracle: &mut Oracle, random: &mut fastrand::Rng) {
    let (one, other) = (USERS[random.usize(..USERS.len())], USERS[random.usize(..USERS.len())]);
    let posts = oracle.posts();
    // One of the newest.
    let any_post = |random: &mut fastrand::Rng| {
        let newest = posts.len().min(12);
        (newest > 0).then(|| posts[posts.len() - 1 - random.usize(..newest)])
    };
    let mut changed = Vec::new();
    let change = match random.u8(..20) {
        kind @ 0..11 => {
            let drawn = match kind {
                0..5 => Some(any_relation_to_user(random, user(one), user(other))),
                _ => any_relation_to_post(random, user(one), any_post),
            };
            let Some((relation, on)) = drawn else { return };
            for core in cores {
                let call = core.engine().set(relation.clone(), on).await;
                changed.push(call.is_ok_and(|call| call.changed));
            }
            oracle.change_to(relation, on)
        }
        11..17 => {
            let text = post(TEXTS[random.usize(..TEXTS.len())]);
            let reply_to = any_post(random).filter(|_| random.u8(..10) < 7);
            let quote = any_post(random).filter(|_| random.u8(..10) < 3);
            let content = content(oracle, text.clone(), reply_to, quote);
            let (reply_to, quote) = (reply_to.map(post_id), quote.map(post_id));
            let draft = Draft { reply_to, quote, ..text.into() };
            for core in cores {
                changed.push(core.engine().publish(user(one), draft.clone(), None).await.is_ok());
            }
            Change::Publish { author: user(one), content, request_id: None }
        }
        17..19 => {
            let Some(post) = any_post(random) else { return };
            let author = user(oracle.author(post));
            for core in cores {
                let call = core.engine().delete(author.clone(), post_id(post)).await;
                changed.push(call.expect("the author may delete").changed);
            }
            delete(oracle, oracle.post_ref(post))
        }
        _ => {
            for core in cores {
                let call =
                    core.engine().mark_seen(user(one), None).await.expect("the call succeeds");
                changed.push(call.changed);
            }
            let newest = oracle.notifications(one).first().map_or(0, |&(at, _)| at);
            Change::See { user: user(one), until: Revision::new(newest) }
        }
    };
    assert!(changed.iter().all(|it| *it == changed[0]), "the engines differ: {changed:?}");
    if changed[0] {
        oracle.push(change);
    }
}

/// A relation between two users, to be set or ended.
fn any_relation_to_user(
    random: &mut fastrand::Rng,
    one: UserId,
    other: UserId,
) -> (Relation, bool) {
    match random.u8(..9) {
        0..3 => (Relation::Follow(one, other), true),
        3 => (Relation::Follow(one, other), false),
        4 => (Relation::Block(one, other), true),
        5 | 6 => (Relation::Block(one, other), false),
        7 => (Relation::Mute(one, other), true),
        _ => (Relation::Mute(one, other), false),
    }
}

/// A relation to a post, to be set or ended.
fn any_relation_to_post(
    random: &mut fastrand::Rng,
    one: UserId,
    any_post: impl Fn(&mut fastrand::Rng) -> Option<u64>,
) -> Option<(Relation, bool)> {
    let kind = random.u8(..7);
    let id = post_id(any_post(random)?);
    Some(match kind {
        0..3 => (Relation::Like(one, id), true),
        3 => (Relation::Like(one, id), false),
        4 | 5 => (Relation::Repost(one, id), true),
        _ => (Relation::Repost(one, id), false),
    })
}

fn content(oracle: &Oracle, text: PostText, reply_to: Option<u64>, quote: Option<u64>) -> Content {
    let reply_to = reply_to.map(|parent| {
        let above = oracle.content(parent).reply_to.as_ref();
        let parent = oracle.post_ref(parent);
        let root = above.map_or_else(|| parent.clone(), |above| above.root.clone());
        Box::new(ReplyTo { parent, root })
    });
    let quote = quote.map(|post| oracle.post_ref(post));
    Content { reply_to, quote, ..Content::from_text(text) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
