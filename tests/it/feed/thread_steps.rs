//! Threads read in steps, from the top down: a client that follows `has_more_replies` and
//! `next_page_token` reaches every visible post.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::engine::Draft;
use whimbrel::model::{PostId, Relation};
use whimbrel::query::{Gap, GetThread, PagePosition, Thread};

use crate::harness::core::{Core, post, user};

const AUTHORS: [&str; 3] = ["alice", "bob", "carol"];
const READER: &str = "rita";

/// root ← r1 ← r2 (deleted, or its author blocked) ← r3.
#[tokio::test]
async fn visible_replies_below_a_gap_count_as_more_replies() {
    for is_deleted in [true, false] {
        let core = Core::limited(|_| {});
        let chain = chain(&core, &["alice", "alice", "bob", "alice"]).await;
        let [root, r1, r2, r3] = chain[..] else { panic!("four posts") };
        let gap = hide(&core, "bob", r2, is_deleted).await;

        let seen = thread(&core, root, 1).await;
        assert_eq!(listed(&seen), [(r1, None, true)]);
        assert!(!seen.post.has_more_replies);
        // The gap is listed, so the reader can continue there.
        let seen = thread(&core, root, 2).await;
        assert_eq!(listed(&seen), [(r1, None, false), (r2, Some(gap), true)]);
        let seen = thread(&core, root, 3).await;
        assert_eq!(listed(&seen), [(r1, None, false), (r2, Some(gap), false), (r3, None, false)]);

        let seen = thread(&core, r2, 1).await;
        assert_eq!(seen.post.shown.as_ref().err(), Some(&gap));
        assert_eq!(listed(&seen), [(r3, None, false)]);
        assert!(!seen.post.has_more_replies);
    }
}

/// root ← r1 (deleted) ← r2.
#[tokio::test]
async fn a_gap_right_below_the_root_is_listed() {
    let core = Core::limited(|_| {});
    let chain = chain(&core, &["alice", "bob", "alice"]).await;
    let gap = hide(&core, "bob", chain[1], true).await;
    let seen = thread(&core, chain[0], 1).await;
    assert_eq!(listed(&seen), [(chain[1], Some(gap), true)]);
    // It has no visible reply any more.
    core.engine().delete(user("alice"), chain[2]).await.unwrap();
    let seen = thread(&core, chain[0], 1).await;
    assert_eq!(listed(&seen), []);
    assert!(!seen.post.has_more_replies);
}

/// A thread of a thousand posts, of which every second was deleted.
#[tokio::test]
async fn every_post_of_a_thread_with_many_gaps_is_reached() {
    let core = Core::limited(|_| {});
    let chain = chain(&core, &["alice"; 1_000]).await;
    for &id in chain.iter().skip(1).step_by(2) {
        core.engine().delete(user("alice"), id).await.unwrap();
    }
    let read = read_in_steps(&core, chain[0], &mut || (10, 200)).await;
    // The last post is a gap without replies.
    assert_eq!(read.keys().copied().collect::<Vec<_>>(), chain[1..999]);
}

/// More deleted replies than one read passes, side by side and one below another, and visible
/// replies behind them.
#[tokio::test]
async fn many_gaps_are_passed_in_steps() {
    let core = Core::limited(|limits| limits.thread_scan_replies_max = 7);
    let root = publish(&core, "alice", None).await;
    for _ in 0..20 {
        let id = publish(&core, "bob", Some(root)).await;
        core.engine().delete(user("bob"), id).await.unwrap();
    }
    let mut last = root;
    for _ in 0..40 {
        last = publish(&core, "carol", Some(last)).await;
    }
    core.engine().set(Relation::Block(user(READER), user("carol")), true).await.unwrap();
    let deep = publish(&core, "dave", Some(last)).await;
    let wide = publish(&core, "dave", Some(root)).await;

    let read = read_in_steps(&core, root, &mut || (3, 5)).await;
    let shown = read.iter().filter(|(_, gap)| gap.is_none()).map(|(id, _)| *id);
    assert_eq!(shown.collect::<Vec<_>>(), [deep, wide]);
}

/// Random threads with deleted and hidden posts, read in steps of any size: exactly the visible
/// posts are reached, with a small bound of a read, too.
#[tokio::test]
async fn a_thread_read_in_steps_is_the_whole_thread() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_bounded = seed % 3 == 0;
        let core = Core::limited(|limits| {
            if is_bounded {
                limits.thread_scan_replies_max = 4;
            }
            if seed % 4 == 0 {
                limits.thread_bytes_max = 300;
            }
        });
        let tree = grow(&core, &mut random).await;
        let mut sizes = || (random.usize(1..5), random.usize(1..6));
        let read = read_in_steps(&core, tree.root, &mut sizes).await;
        let expected = tree.below();
        for (id, gap) in &expected {
            assert_eq!(read.get(id), Some(gap), "{seed}: {id:?}");
        }
        let surplus = read.iter().filter(|(id, _)| !expected.contains_key(id));
        for (id, gap) in surplus {
            assert!(is_bounded && gap.is_some(), "{seed}: {id:?} {gap:?}");
        }
    }
}

/// A thread and its gaps.
struct Tree {
    root: PostId,
    /// The post, its parent, and the reason if it is not shown.
    replies: Vec<(PostId, PostId, Option<Gap>)>,
}

impl Tree {
    /// The posts that a reader reaches: visible posts, and gaps with a visible post below them.
    fn below(&self) -> BTreeMap<PostId, Option<Gap>> {
        let alive = self.replies.iter().filter(|(id, _, gap)| self.is_reached(*id, *gap));
        alive.map(|&(id, _, gap)| (id, gap)).collect()
    }

    fn is_reached(&self, id: PostId, gap: Option<Gap>) -> bool {
        let mut replies = self.replies.iter().filter(|(_, parent, _)| *parent == id);
        gap.is_none() || replies.any(|&(id, _, gap)| self.is_reached(id, gap))
    }
}

async fn grow(core: &Core, random: &mut fastrand::Rng) -> Tree {
    let mut posts = vec![(publish(core, "dave", None).await, "dave")];
    let mut replies = Vec::new();
    for _ in 0..random.usize(1..60) {
        // Mostly deep, sometimes wide.
        let newest = posts.len().min(if random.u8(..4) == 0 { 60 } else { 3 });
        let parent = posts[posts.len() - 1 - random.usize(..newest)].0;
        let author = AUTHORS[random.usize(..AUTHORS.len())];
        let id = publish(core, author, Some(parent)).await;
        posts.push((id, author));
        replies.push((id, parent, None));
    }
    let hidden = AUTHORS[random.usize(..AUTHORS.len())];
    core.engine().set(Relation::Block(user(READER), user(hidden)), true).await.unwrap();
    for ((_, _, gap), (id, author)) in replies.iter_mut().zip(&posts[1..]) {
        if *author == hidden {
            *gap = Some(Gap::Hidden);
        }
        if random.u8(..5) < 2 {
            core.engine().delete(user(author), *id).await.unwrap();
            *gap = Some(Gap::Deleted);
        }
    }
    Tree { root: posts[0].0, replies }
}

/// Reads the thread below `root` as a client does, with a depth and a number of replies for each
/// step.
async fn read_in_steps(
    core: &Core,
    root: PostId,
    sizes: &mut impl FnMut() -> (usize, usize),
) -> BTreeMap<PostId, Option<Gap>> {
    let (mut read, mut left) = (BTreeMap::new(), vec![root]);
    let mut asked = BTreeSet::new();
    while let Some(id) = left.pop() {
        assert!(asked.insert(id), "{id:?} is requested again");
        let mut after = None;
        loop {
            let (depth_max, replies_max) = sizes();
            let at = core.engine().cursor().after;
            let position = after.map(|it: PostId| PagePosition { before: it.revision(), at });
            let viewer = user(READER);
            let query = GetThread { viewer, post: id, position, depth_max, replies_max };
            let thread = core.engine().ask(query).await.unwrap();
            assert_eq!(thread.post.has_more_replies, thread.next_after.is_some());
            for reply in &thread.replies {
                let known = read.insert(reply.id, reply.shown.as_ref().err().copied());
                if reply.has_more_replies && !asked.contains(&reply.id) {
                    left.retain(|&it| it != reply.id);
                    left.push(reply.id);
                }
                assert!(known.is_none_or(|gap| gap == reply.shown.as_ref().err().copied()));
            }
            assert!(
                thread.next_after.is_none() || thread.next_after > after,
                "a page without progress"
            );
            after = thread.next_after;
            if after.is_none() {
                break;
            }
        }
    }
    read
}

async fn chain(core: &Core, authors: &[&str]) -> Vec<PostId> {
    let mut chain: Vec<PostId> = Vec::new();
    for author in authors {
        chain.push(publish(core, author, chain.last().copied()).await);
    }
    chain
}

async fn hide(core: &Core, author: &str, id: PostId, is_deleted: bool) -> Gap {
    if is_deleted {
        core.engine().delete(user(author), id).await.unwrap();
        return Gap::Deleted;
    }
    core.engine().set(Relation::Block(user(READER), user(author)), true).await.unwrap();
    Gap::Hidden
}

async fn publish(core: &Core, author: &str, reply_to: Option<PostId>) -> PostId {
    let draft = Draft { reply_to, ..post("hello").into() };
    let published = core.engine().publish(user(author), draft, None).await;
    published.expect("the post is published").post.id()
}

async fn thread(core: &Core, post: PostId, depth_max: usize) -> Thread {
    let viewer = user(READER);
    let query = GetThread { viewer, post, position: None, depth_max, replies_max: 100 };
    core.engine().ask(query).await.expect("the thread is read")
}

fn listed(thread: &Thread) -> Vec<(PostId, Option<Gap>, bool)> {
    let replies = thread.replies.iter();
    replies.map(|it| (it.id, it.shown.as_ref().err().copied(), it.has_more_replies)).collect()
}
