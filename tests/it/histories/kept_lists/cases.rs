//! Cases in which a page and a stream could differ, one by one.

use whimbrel::engine::Draft;
use whimbrel::live::Watched;
use whimbrel::model::Relation;

use super::client::{Client, Paging};
use crate::harness::core::{Core, FEED, post, user};

/// Enough pages for every list here.
const ALL: Paging = Paging { pages: 9, items_max: 9 };

/// Of two reposts of one post, the stream delivers the second when the first is undone, or leaves
/// the feed with its reposter.
#[tokio::test]
async fn the_second_repost_is_delivered_when_the_first_leaves() {
    for case in 0..4 {
        let core = Core::limited(|_| ());
        let engine = core.engine();
        core.follow("v", "b").await;
        core.follow("v", "d").await;
        let post = core.publish("x", "the post").await.post.id();
        let mut client = Client::open(engine, "v", FEED, ALL).await;
        let repost = |who| Relation::Repost(user(who), post);
        engine.set(repost("b"), true).await.unwrap();
        let second = engine.set(repost("d"), true).await.unwrap().revision;
        client.read_all(engine).await;
        client.check(engine).await;
        let (relation, on) = match case {
            0 => (repost("b"), false),
            1 => (Relation::Follow(user("v"), user("b")), false),
            2 => (Relation::Mute(user("v"), user("b")), true),
            _ => (Relation::Block(user("v"), user("b")), true),
        };
        engine.set(relation, on).await.unwrap();
        client.read_all(engine).await;
        client.check(engine).await;
        assert_eq!(client.revisions(), [second.get()], "case {case}");
    }
}

/// A repost that the post itself hid is delivered when the author is unfollowed.
#[tokio::test]
async fn a_repost_is_delivered_when_the_author_is_unfollowed() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "x").await;
    core.follow("v", "d").await;
    let post = core.publish("x", "the post").await.post.id();
    let mut client = Client::open(engine, "v", FEED, ALL).await;
    let repost = engine.set(Relation::Repost(user("d"), post), true).await.unwrap().revision;
    client.read_all(engine).await;
    assert_eq!(client.revisions().len(), 1, "the post hides the repost");
    engine.set(Relation::Follow(user("v"), user("x")), false).await.unwrap();
    client.read_all(engine).await;
    client.check(engine).await;
    assert_eq!(client.revisions(), [repost.get()]);
}

/// Deleted posts still count in the window of the rule for reposts, so no entry moves.
#[tokio::test]
async fn a_deletion_moves_no_other_entry() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    let post = core.publish("x", "the post").await.post.id();
    core.follow("v", "x").await;
    let mut between = Vec::new();
    for number in 0..40 {
        between.push(core.publish("b", &format!("{number}")).await.post.id());
    }
    let mut client = Client::open(engine, "v", FEED, ALL).await;
    let repost = engine.set(Relation::Repost(user("b"), post), true).await.unwrap().revision;
    for gone in between {
        engine.delete(user("b"), gone).await.unwrap();
        client.read_all(engine).await;
        client.check(engine).await;
        assert!(client.revisions().contains(&repost.get()), "{:?}", client.revisions());
    }
    assert_eq!(client.revisions().len(), 2);
}

/// A reply leaves the feed when the author of its parent is unfollowed.
#[tokio::test]
async fn a_reply_goes_when_the_author_of_its_parent_is_unfollowed() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    core.follow("v", "d").await;
    let of_d = core.publish("d", "of d's").await.post.id();
    let reply = Draft { reply_to: Some(of_d), ..Draft::from(post("a reply")) };
    engine.publish(user("b"), reply, None).await.unwrap();
    let mut client = Client::open(engine, "v", FEED, ALL).await;
    assert_eq!(client.revisions().len(), 2);
    engine.set(Relation::Follow(user("v"), user("d")), false).await.unwrap();
    client.read_all(engine).await;
    client.check(engine).await;
    assert!(client.revisions().is_empty(), "{:?}", client.revisions());
}

/// After an unmute the reposts of a user's posts, and the notifications of their acts, are back.
/// An unlike and an unfollow remove their notifications.
#[tokio::test]
async fn an_unmute_brings_back_reposts_and_notifications() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    let own = core.publish("v", "own").await.post.id();
    let post = core.publish("x", "the post").await.post.id();
    engine.set(Relation::Repost(user("b"), post), true).await.unwrap();
    engine.set(Relation::Like(user("x"), own), true).await.unwrap();
    core.follow("x", "v").await;
    let mut clients = [
        Client::open(engine, "v", FEED, ALL).await,
        Client::open(engine, "v", Watched::Notifications, ALL).await,
    ];
    assert_eq!(clients.each_ref().map(|client| client.revisions().len()), [2, 2]);
    let mute = Relation::Mute(user("v"), user("x"));
    engine.set(mute.clone(), true).await.unwrap();
    let mut counts = Vec::new();
    for step in 0..4 {
        let ended = match step {
            0 => None,
            1 => Some(mute.clone()),
            2 => Some(Relation::Like(user("x"), own)),
            _ => Some(Relation::Follow(user("x"), user("v"))),
        };
        if let Some(relation) = ended {
            engine.set(relation, false).await.unwrap();
        }
        for client in &mut clients {
            client.read_all(engine).await;
            client.check(engine).await;
            counts.push(client.revisions().len());
        }
    }
    assert_eq!(counts, [1, 0, 2, 2, 2, 1, 2, 0]);
}
