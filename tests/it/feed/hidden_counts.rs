//! Counts leave out users whom a block hides from the reader: few or many users, few or many likes
//! and replies.

use whimbrel::engine::Draft;
use whimbrel::model::{PostId, Relation};
use whimbrel::query::{GetPosts, GetProfile, ListPosts, ListUsers, PostList, UserList};

use crate::harness::core::{Core, post, user};

const READER: &str = "reader";
const AUTHOR: &str = "author";
/// More than are read at once.
const MANY: usize = 1_100;

/// Three like a post, and the reader blocks one of them.
#[tokio::test]
async fn received_likes_leave_out_hidden_users() {
    let core = Core::limited(|_| {});
    let id = core.publish(AUTHOR, "hello").await.post.id();
    for name in ["alice", "bob", "carol"] {
        like(&core, name, id).await;
    }
    block(&core, READER, "bob").await;
    assert_eq!(likes(&core, READER, id).await, (2, 2));
    // A block works both ways, and hides nothing from others.
    assert_eq!(likes(&core, "bob", id).await, (3, 3));
    block(&core, "carol", READER).await;
    assert_eq!(likes(&core, READER, id).await, (1, 1));
    block(&core, READER, "carol").await;
    assert_eq!(likes(&core, READER, id).await, (1, 1));
    let unblock = Relation::Block(user(READER), user("bob"));
    core.engine().set(unblock, false).await.unwrap();
    assert_eq!(likes(&core, READER, id).await, (2, 2));
    // A mute affects only feeds and notifications.
    core.engine().set(Relation::Mute(user(READER), user("alice")), true).await.unwrap();
    assert_eq!(likes(&core, READER, id).await, (2, 2));
}

/// A hidden like that was undone, or whose post was deleted, is not subtracted again.
#[tokio::test]
async fn ended_likes_are_subtracted_once() {
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
        block(&core, "bob", READER).await;
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

/// Counts are exact with more blockers than likes and replies, and with more likes and replies than
/// blockers.
#[tokio::test]
async fn counts_are_exact_with_very_many_blockers() {
    for core in [Core::limited(|_| {}), indexed()] {
        let id = core.publish(AUTHOR, "hello").await.post.id();
        for name in ["alice", "blocker7"] {
            like(&core, name, id).await;
            reply_and_quote(&core, name, id).await;
            core.follow(name, AUTHOR).await;
        }
        let deleted = reply_and_quote(&core, "blocker8", id).await;
        core.engine().delete(user("blocker8"), deleted).await.unwrap();
        for number in 0..MANY {
            block(&core, &format!("blocker{number}"), READER).await;
        }
        check(&core, id, 1).await;
        for number in 0..2 * MANY {
            let name = format!("blocker{number}");
            if number != 7 {
                like(&core, &name, id).await;
                reply_and_quote(&core, &name, id).await;
                core.follow(&name, AUTHOR).await;
            }
        }
        check(&core, id, 1 + MANY as u64).await;
    }
}

/// Checks that the reader's counts of likes, replies and followers, and the lengths of the lists,
/// are `count`.
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

async fn block(core: &Core, one: &str, other: &str) {
    core.engine().set(Relation::Block(user(one), user(other)), true).await.unwrap();
}

async fn like(core: &Core, name: &str, id: PostId) {
    core.engine().set(Relation::Like(user(name), id), true).await.unwrap();
}

/// Publishes a post that is both a reply to a post and a quote of it.
async fn reply_and_quote(core: &Core, name: &str, id: PostId) -> PostId {
    let draft = Draft { reply_to: Some(id), quote: Some(id), ..post("a reply").into() };
    core.engine().publish(user(name), draft, None).await.unwrap().post.id()
}
