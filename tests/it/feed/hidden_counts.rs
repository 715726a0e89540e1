//! Counts as somebody sees them who blocks others, or whom others block: few or many of them, about
//! posts with few or many likes and answers.

use whimbrel::engine::Draft;
use whimbrel::model::PostId;
use whimbrel::model::Relation;
use whimbrel::query::{GetPosts, GetProfile, ListPosts, ListUsers};
use whimbrel::query::{PostList, UserList};

use crate::harness::core::{Core, post, user};
use crate::oracle::relations::{EdgeKind, SetRelation};

const READER: &str = "reader";
const AUTHOR: &str = "author";
/// As many as are looked at at once, and some more.
const MANY: usize = 1_100;

/// Three like a post, and the reader blocks one of them.
#[tokio::test]
async fn received_likes_are_as_the_reader_sees_them() {
    let core = Core::limited(|_| {});
    let id = core.publish(AUTHOR, "hello").await.post.id();
    for name in ["alice", "bob", "carol"] {
        like(&core, name, id).await;
    }
    edge(&core, EdgeKind::Block, READER, "bob").await;
    assert_eq!(likes(&core, READER, id).await, (2, 2));
    // A block works both ways, and hides nothing from others.
    assert_eq!(likes(&core, "bob", id).await, (3, 3));
    edge(&core, EdgeKind::Block, "carol", READER).await;
    assert_eq!(likes(&core, READER, id).await, (1, 1));
    edge(&core, EdgeKind::Block, READER, "carol").await;
    assert_eq!(likes(&core, READER, id).await, (1, 1));
    edge(&core, EdgeKind::Unblock, READER, "bob").await;
    assert_eq!(likes(&core, READER, id).await, (2, 2));
    // A mute is for feeds and notifications.
    edge(&core, EdgeKind::Mute, READER, "alice").await;
    assert_eq!(likes(&core, READER, id).await, (2, 2));
}

/// What was taken back, and what went with its post, is not subtracted again.
#[tokio::test]
async fn likes_that_are_gone_are_subtracted_once() {
    for mut core in [Core::limited(|_| {}), indexed()] {
        let mut posts = Vec::new();
        for _ in 0..4 {
            posts.push(core.publish(AUTHOR, "hello").await.post.id());
        }
        for name in ["alice", "bob"] {
            for &id in &posts {
                like(&core, name, id).await;
            }
        }
        edge(&core, EdgeKind::Block, "bob", READER).await;
        assert_eq!(received(&core, READER).await, 4);
        let engine = core.engine();
        engine.delete(user(AUTHOR), posts[0]).await.unwrap();
        assert_eq!((received(&core, READER).await, received(&core, "alice").await), (3, 6));
        engine.set(Relation::Like(user("bob"), posts[1]), false).await.unwrap();
        assert_eq!((received(&core, READER).await, received(&core, "alice").await), (3, 5));
        core.restart().await;
        for &id in &posts[1..] {
            core.engine().delete(user(AUTHOR), id).await.unwrap();
        }
        assert_eq!((received(&core, READER).await, received(&core, "alice").await), (0, 0));
        let id = core.publish(AUTHOR, "hello").await.post.id();
        like(&core, "bob", id).await;
        assert_eq!((received(&core, READER).await, received(&core, "alice").await), (0, 1));
    }
}

/// More block the reader than there are likes and answers; then more likes and answers than that.
#[tokio::test]
async fn counts_are_exact_for_whom_very_many_block() {
    for core in [Core::limited(|_| {}), indexed()] {
        let id = core.publish(AUTHOR, "hello").await.post.id();
        for name in ["alice", "hater7"] {
            like(&core, name, id).await;
            answer(&core, name, id).await;
            core.follow(name, AUTHOR).await;
        }
        let deleted = answer(&core, "hater8", id).await;
        core.engine().delete(user("hater8"), deleted).await.unwrap();
        for number in 0..MANY {
            edge(&core, EdgeKind::Block, &format!("hater{number}"), READER).await;
        }
        check(&core, id, 1).await;
        for number in 0..2 * MANY {
            let name = format!("hater{number}");
            if number != 7 {
                like(&core, &name, id).await;
                answer(&core, &name, id).await;
                core.follow(&name, AUTHOR).await;
            }
        }
        check(&core, id, 1 + MANY as u64).await;
    }
}

/// So many like the post, answer it and follow its author, as the reader sees it; and so long are the
/// lists.
async fn check(core: &Core, id: PostId, count: u64) {
    let engine = core.engine();
    let view =
        engine.ask(GetPosts { viewer: user(READER), ids: vec![id] }).await.unwrap().remove(0);
    let counts = view.counts;
    assert_eq!([counts.likes, counts.replies, counts.quotes], [count; 3]);
    let profile =
        engine.ask(GetProfile { viewer: user(READER), user: user(AUTHOR) }).await.unwrap();
    assert_eq!([profile.likes_received, profile.followers], [count; 2]);
    let count = usize::try_from(count).unwrap();
    let list = UserList::Likes(id);
    assert_eq!(
        engine
            .ask(ListUsers { viewer: user(READER), list, items_max: 4 * MANY, position: None })
            .await
            .unwrap()
            .items
            .len(),
        count
    );
    for list in [PostList::Replies(id), PostList::Quotes(id)] {
        let page = engine
            .ask(ListPosts { viewer: user(READER), list, items_max: 4 * MANY, position: None })
            .await
            .unwrap();
        assert_eq!(page.items.len(), count);
    }
}

fn indexed() -> Core {
    Core::indexed(|limits| {
        limits.index_events_max = 500;
        limits.index_write_delay_max = std::time::Duration::from_millis(1);
    })
}

async fn likes(core: &Core, viewer: &str, id: PostId) -> (u64, u64) {
    let view = core
        .engine()
        .ask(GetPosts { viewer: user(viewer), ids: vec![id] })
        .await
        .unwrap()
        .remove(0);
    (view.counts.likes, received(core, viewer).await)
}

async fn received(core: &Core, viewer: &str) -> u64 {
    core.engine()
        .ask(GetProfile { viewer: user(viewer), user: user(AUTHOR) })
        .await
        .unwrap()
        .likes_received
}

async fn edge(core: &Core, kind: EdgeKind, one: &str, other: &str) {
    core.engine().change_edge(kind, user(one), user(other)).await.unwrap();
}

async fn like(core: &Core, name: &str, id: PostId) {
    core.engine().set(Relation::Like(user(name), id), true).await.unwrap();
}

/// Answers a post and quotes it, in one.
async fn answer(core: &Core, name: &str, id: PostId) -> PostId {
    let draft = Draft { reply_to: Some(id), quote: Some(id), ..post("an answer").into() };
    core.engine().publish(user(name), draft, None).await.unwrap().post.id()
}
