//! A log with a missing event or a damaged record: every read that needs it returns an error, never
//! a shorter result, and nothing else fails.

mod written_disks;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
use whimbrel::client::{Client, Error as CallError};
use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine, Error};
use whimbrel::live::{self, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, PostId, Relation, Revision};
use whimbrel::query::{
    self, AuthorFeed, GetPosts, GetThread, HomeFeed, ListNotifications, ListPosts, PostList,
};
use whimbrel::runtime::CriticalThreads;
use written_disks::{BETWEEN, WrittenDisks};

use crate::harness::core::{FEED, post, request_id, user};
use crate::harness::{Setup, eventually, within};
use crate::server::process::ServerProcess;

/// A post exists when it is reposted, and is missing when the repost is delivered. Streams that
/// read the repost fail, and the others go on.
#[test]
fn a_repost_of_a_missing_post_fails_only_the_streams_that_read_it() {
    let disks = WrittenDisks::new();
    runtime().block_on(async {
        let (engine, missing) = disks.open();
        engine.set(Relation::Follow(user("bystander"), user("author")), true).await.unwrap();
        let options = |of| WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
        let watch = |name: &str| engine.watch(&user(name), Start::Now, options(FEED)).unwrap();
        let (mut viewer, mut bystander) = (watch("viewer"), watch("bystander"));
        for stream in [&mut viewer, &mut bystander] {
            while !matches!(
                within("the stream to catch up", stream.next()).await.unwrap(),
                Some(StreamMessage::CaughtUp { .. })
            ) {}
        }
        missing.move_to(disks.revisions.post);
        missing.alter.reads_left.store(1, Ordering::SeqCst);
        engine.set(Relation::Follow(user("viewer"), user("fan")), true).await.unwrap();
        let original = PostId::from_revision(disks.revisions.post);
        let repost = engine.set(Relation::Repost(user("fan"), original), true);
        within("the repost", repost).await.unwrap();
        let after = engine.publish(user("author"), post("after"), None);
        let after = within("the post after it", after).await.unwrap();

        let delivered = loop {
            let step = within("a post", bystander.next()).await.unwrap();
            if let Some(StreamMessage::Batch { events, .. }) = step {
                break events;
            }
        };
        assert_eq!(delivered.last().unwrap().revision, after.post.revision);
        let failed = loop {
            if let Err(error) = within("an error", viewer.next()).await {
                break error;
            }
        };
        assert!(matches!(failed, live::Error::Read(query::Error::Missing(_))), "{failed}");
    });
}

/// Every kind of event, in every read that lists it or refers to it.
#[test]
fn a_missing_event_is_an_error_in_every_read() {
    let disks = WrittenDisks::new();
    let revisions = &disks.revisions;
    runtime().block_on(async {
        let (engine, missing) = disks.open();
        let first = engine.cursor();
        let from_start = Cursor::after(first.log, Revision::ZERO);
        let id = PostId::from_revision;

        missing.move_to(revisions.post);
        is_missing(engine.ask(feed("viewer")).await);
        is_missing(engine.ask(authored("author")).await);
        is_missing(
            engine.ask(GetPosts { viewer: user("viewer"), ids: vec![id(revisions.post)] }).await,
        );
        is_missing(engine.ask(thread(revisions.post)).await);
        is_missing(engine.ask(thread(revisions.reply)).await);
        is_missing(engine.ask(replies(revisions.post)).await);
        is_missing(engine.set(Relation::Like(user("viewer"), id(revisions.post)), true).await);
        is_missing(engine.delete(user("author"), id(revisions.post)).await);
        let reply = Draft { reply_to: Some(id(revisions.post)), ..post("another reply").into() };
        is_missing(engine.publish(user("viewer"), reply, None).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        let again = engine.publish(user("author"), post("a post"), Some(request_id("once")));
        is_missing(again.await);

        missing.move_to(revisions.reply);
        is_missing(engine.ask(thread(revisions.reply)).await);
        is_missing(engine.ask(thread(revisions.post)).await);
        is_missing(engine.ask(replies(revisions.post)).await);
        is_missing(engine.ask(notifications()).await);
        is_missing(engine.ask(feed("viewer")).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);

        missing.move_to(revisions.repost);
        is_missing(engine.ask(feed("viewer")).await);
        is_missing(engine.ask(authored("reposter")).await);
        is_missing(engine.ask(notifications()).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);

        missing.move_to(revisions.follow);
        is_missing(engine.ask(notifications()).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);

        for revision in [revisions.mention, revisions.like] {
            missing.move_to(revision);
            is_missing(engine.ask(notifications()).await);
            is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);
        }

        // A revision after the end of the log is not missing.
        missing.move_to(Revision::new(1_000));
        assert!(
            engine
                .ask(GetPosts { viewer: user("viewer"), ids: vec![id(Revision::new(1_000))] })
                .await
                .unwrap()
                .is_empty()
        );
        let nothing = engine.ask(thread(Revision::new(1_000))).await;
        assert!(matches!(nothing, Err(query::Error::PostNotFound { .. })), "{nothing:?}");
        assert_eq!(engine.ask(feed("viewer")).await.unwrap().items.len(), BETWEEN + 4);
        within("the engine to stop", engine.stop()).await;
    });
}

/// A deleted post is left out, and is not an error.
#[test]
fn a_deleted_post_is_not_missing() {
    let disks = WrittenDisks::new();
    runtime().block_on(async {
        let (engine, _) = disks.open();
        engine.delete(user("author"), PostId::from_revision(disks.revisions.post)).await.unwrap();
        let id = PostId::from_revision(disks.revisions.post);
        assert!(
            engine
                .ask(GetPosts { viewer: user("viewer"), ids: vec![id] })
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(engine.ask(feed("viewer")).await.unwrap().items.len(), BETWEEN + 2);
        let from_start = Cursor::after(engine.cursor().log, Revision::ZERO);
        missed(&engine, "viewer", FEED, from_start).await.unwrap();
        missed(&engine, "author", Watched::Notifications, from_start).await.unwrap();
        within("the engine to stop", engine.stop()).await;
    });
}

/// If the compactor cannot read a deletion, it tries again later; everything else goes on.
#[test]
fn a_deletion_that_cannot_be_read_does_not_end_the_engine() {
    let disks = WrittenDisks::new();
    runtime().block_on(async {
        let critical = CriticalThreads::new();
        let compact_often = |limits: &mut Limits| {
            limits.compaction_interval = Duration::from_millis(20);
        };
        let (engine, missing) = disks.open_for(&critical, disks.revisions.deletion, compact_often);
        let was_read = async || (missing.alter.misses.load(Ordering::SeqCst) > 2).then_some(());
        eventually("some reads of the deletion", was_read).await;
        engine.publish(user("author"), post("one more"), None).await.unwrap();
        tokio::select! {
            biased;
            failure = critical.failed() => panic!("{failure:?}"),
            () = std::future::ready(()) => {}
        }
        within("the engine to stop", engine.stop()).await;
    });
}

/// A retry of a request whose record is damaged fails with a final error. All other calls succeed,
/// after a restart too.
#[test]
fn only_the_retry_of_a_damaged_record_fails() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let request = |text: &str, id: &str| PublishRequest {
        user_id: "alice".to_owned(),
        text: text.to_owned(),
        request_id: id.to_owned(),
        ..PublishRequest::default()
    };
    let damaged = request("the text of the record", "once");
    runtime().block_on(async {
        // A server with small segments, so that the one with the record is sealed.
        let server = Setup::new().start_on(Arc::clone(&folder)).await;
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        client.publish(damaged.clone()).await.unwrap();
        for number in 0..100 {
            client.publish(request(&format!("post {number}"), "")).await.unwrap();
        }
        server.stop().await;
    });
    spoil(&folder.path().join("log/0000000000000001.seg"), damaged.text.as_bytes());

    for restart in 0..2 {
        runtime().block_on(async {
            let server = ServerProcess::start(folder.path());
            let client = Client::connect(&server.address().to_string()).await.unwrap();
            for _ in 0..2 {
                let refused = client.publish(damaged.clone()).await.unwrap_err();
                let CallError::Call(refused) = refused else { panic!("{refused}") };
                assert_eq!((refused.code, refused.reason.as_str()), ("INTERNAL", "INTERNAL"));
                assert!(!refused.is_transient, "{refused}");
                assert!(!refused.message.contains("again"), "{refused}");
            }
            let id = format!("later {restart}");
            let made = client.publish(request("a later post", &id)).await.unwrap();
            assert!(!made.deduplicated);
            let made = client.publish(request("a later post", &id)).await.unwrap();
            assert!(made.deduplicated);
            let newest = NewsFeedRequest {
                user_id: "alice".to_owned(),
                page_size: 10,
                ..NewsFeedRequest::default()
            };
            assert_eq!(client.news_feed(newest).await.unwrap().items.len(), 10);
            let (code, output) = server.terminated().await;
            assert_eq!(code, Some(0));
            assert!(
                output.contains("0000000000000001.seg") && output.contains("restore"),
                "{output}"
            );
        });
    }
}

/// The number of events that a stream of `name`'s delivers until it has caught up from `after`.
async fn missed(
    engine: &Engine,
    name: &str,
    of: Watched,
    after: Cursor,
) -> Result<usize, live::Error> {
    let options = WatchOptions { of, heartbeat: Duration::from_secs(20), reset_items: None };
    let mut stream = engine.watch(&user(name), Start::After(after), options).unwrap();
    let mut events_seen = 0;
    loop {
        match within("the next message", stream.next()).await?.unwrap() {
            StreamMessage::Batch { events, .. } => events_seen += events.len(),
            StreamMessage::CaughtUp { .. } => return Ok(events_seen),
            _ => {}
        }
    }
}

fn is_missing<T: Debug, E: Debug + Into<Error>>(read: Result<T, E>) {
    let read = read.map_err(Into::into);
    assert!(matches!(read, Err(Error::Read(query::Error::Missing(_)))), "{read:?}");
}

fn is_missing_in(read: Result<usize, live::Error>) {
    assert!(matches!(read, Err(live::Error::Read(query::Error::Missing(_)))), "{read:?}");
}

fn feed(name: &str) -> HomeFeed {
    let (items_max, position, all_replies) = (100, None, true);
    HomeFeed { user: user(name), items_max, position, with_own: false, all_replies }
}

fn authored(name: &str) -> AuthorFeed {
    AuthorFeed {
        viewer: user("viewer"),
        author: user(name),
        items_max: 100,
        position: None,
        with_replies: true,
        with_reposts: true,
    }
}

fn thread(post: Revision) -> GetThread {
    let post = PostId::from_revision(post);
    GetThread { viewer: user("viewer"), post, depth_max: 3, replies_max: 10, position: None }
}

fn replies(post: Revision) -> ListPosts {
    let list = PostList::Replies(PostId::from_revision(post));
    ListPosts { viewer: user("viewer"), list, items_max: 10, position: None }
}

fn notifications() -> ListNotifications {
    ListNotifications { user: user("author"), items_max: 10, position: None }
}

/// Changes a byte of `bytes` wherever the file has them.
fn spoil(file: &Path, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    let found: Vec<_> =
        (0..content.len() - bytes.len()).filter(|&at| content[at..].starts_with(bytes)).collect();
    assert!(!found.is_empty(), "the bytes are in the file");
    found.into_iter().for_each(|at| content[at] ^= 1);
    std::fs::write(file, content).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
