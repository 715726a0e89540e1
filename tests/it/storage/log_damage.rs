//! A log that lacks an event, or has a record that is damaged: whoever would come by it gets an
//! error, and never less than there is; and nothing else fails.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use whimbrel::model::Relation;
use whimbrel::query::{GetPosts, ListNotifications, ListPosts};

use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
use whimbrel::client::{Client, Error as CallError};
use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine, Error};
use whimbrel::live::{self, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, Event, PostId, Revision};
use whimbrel::query::{self, AuthorFeed, GetThread, HomeFeed, PostList};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{self, Index, LocalLog, Log};

use crate::harness::core::{FEED, post, request_id, user};
use crate::harness::{Alter, AlteredLog, Disk, eventually, within};
use crate::oracle::relations::{ReactionKind, SetRelation};
use crate::server::process::ServerProcess;
use crate::storage::local_log::OPTIONS;

/// Posts between one and its repost.
const BETWEEN: usize = 45;

/// What is in the log of these tests.
struct Places {
    follow: Revision,
    post: Revision,
    reply: Revision,
    repost: Revision,
    mention: Revision,
    like: Revision,
    deletion: Revision,
}

/// A post that is there when it is reposted, and lacking when the repost goes to the live feeds: those
/// who read the repost get an error, and everybody else what there is.
#[test]
fn a_live_feed_that_cannot_be_told_reads_for_itself() {
    let world = World::new();
    runtime().block_on(async {
        let (engine, hole) = world.open();
        engine.set(Relation::Follow(user("bystander"), user("author")), true).await.unwrap();
        let options = |of| WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
        let watch = |name: &str| engine.watch(&user(name), Start::Now, options(FEED)).unwrap();
        let (mut viewer, mut bystander) = (watch("viewer"), watch("bystander"));
        for stream in [&mut viewer, &mut bystander] {
            while !matches!(
                within("to be level", stream.next()).await.unwrap(),
                Some(StreamMessage::CaughtUp { .. })
            ) {}
        }
        hole.move_to(world.places.post);
        hole.alter.spared.store(1, Ordering::SeqCst);
        engine.set(Relation::Follow(user("viewer"), user("fan")), true).await.unwrap();
        let original = PostId::from_revision(world.places.post);
        let repost = engine.set(Relation::Repost(user("fan"), original), true);
        within("the repost", repost).await.unwrap();
        let after = engine.publish(user("author"), post("after"), None);
        let after = within("the post after it", after).await.unwrap();

        let told = loop {
            let step = within("a post", bystander.next()).await.unwrap();
            if let Some(StreamMessage::Batch { events, .. }) = step {
                break events;
            }
        };
        assert_eq!(told.last().unwrap().revision, after.post.revision);
        let failed = loop {
            if let Err(error) = within("an error", viewer.next()).await {
                break error;
            }
        };
        assert!(matches!(failed, live::Error::Read(query::Error::Missing(_))), "{failed}");
    });
}

/// Every kind of place, in every read that lists it or refers to it.
#[test]
fn a_place_that_the_log_lacks_is_an_error_in_every_read() {
    let world = World::new();
    let places = &world.places;
    runtime().block_on(async {
        let (engine, hole) = world.open();
        let first = engine.cursor();
        let from_start = Cursor::after(first.log, Revision::ZERO);
        let id = PostId::from_revision;

        hole.move_to(places.post);
        is_missing(engine.ask(feed("viewer")).await);
        is_missing(engine.ask(authored("author")).await);
        is_missing(
            engine.ask(GetPosts { viewer: user("viewer"), ids: vec![id(places.post)] }).await,
        );
        is_missing(engine.ask(thread(places.post)).await);
        is_missing(engine.ask(thread(places.reply)).await);
        is_missing(
            engine
                .ask(ListPosts {
                    viewer: user("viewer"),
                    list: replies(places.post),
                    items_max: 10,
                    position: None,
                })
                .await,
        );
        is_missing(engine.set(Relation::Like(user("viewer"), id(places.post)), true).await);
        is_missing(engine.delete(user("author"), id(places.post)).await);
        let answer = Draft { reply_to: Some(id(places.post)), ..post("an answer").into() };
        is_missing(engine.publish(user("viewer"), answer, None).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        let again = engine.publish(user("author"), post("a post"), Some(request_id("once")));
        is_missing(again.await);

        hole.move_to(places.reply);
        is_missing(engine.ask(thread(places.reply)).await);
        is_missing(engine.ask(thread(places.post)).await);
        is_missing(
            engine
                .ask(ListPosts {
                    viewer: user("viewer"),
                    list: replies(places.post),
                    items_max: 10,
                    position: None,
                })
                .await,
        );
        is_missing(
            engine
                .ask(ListNotifications { user: user("author"), items_max: 10, position: None })
                .await,
        );
        is_missing(engine.ask(feed("viewer")).await);
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);

        hole.move_to(places.repost);
        is_missing(engine.ask(feed("viewer")).await);
        is_missing(engine.ask(authored("reposter")).await);
        is_missing(
            engine
                .ask(ListNotifications { user: user("author"), items_max: 10, position: None })
                .await,
        );
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);

        hole.move_to(places.follow);
        is_missing(
            engine
                .ask(ListNotifications { user: user("author"), items_max: 10, position: None })
                .await,
        );
        is_missing_in(missed(&engine, "viewer", FEED, from_start).await);
        is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);

        for place in [places.mention, places.like] {
            hole.move_to(place);
            is_missing(
                engine
                    .ask(ListNotifications { user: user("author"), items_max: 10, position: None })
                    .await,
            );
            is_missing_in(missed(&engine, "author", Watched::Notifications, from_start).await);
        }

        // What was not there at any time is no hole.
        hole.move_to(Revision::new(1_000));
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

/// What was deleted is no hole, whether or not it was erased.
#[test]
fn what_is_gone_since_is_left_out() {
    let world = World::new();
    runtime().block_on(async {
        let (engine, _) = world.open();
        engine.delete(user("author"), PostId::from_revision(world.places.post)).await.unwrap();
        let id = PostId::from_revision(world.places.post);
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

/// The eraser cannot tell what to erase, and looks again; everything else goes on.
#[test]
fn a_deletion_that_cannot_be_read_ends_nothing() {
    let world = World::new();
    runtime().block_on(async {
        let critical = CriticalThreads::new();
        let eraser_looks = |limits: &mut Limits| {
            limits.compaction_interval = Duration::from_millis(20);
        };
        let (engine, hole) = world.open_for(&critical, world.places.deletion, eraser_looks);
        let looked = async || (hole.alter.met.load(Ordering::SeqCst) > 2).then_some(());
        eventually("some looks", looked).await;
        engine.publish(user("author"), post("one more"), None).await.unwrap();
        tokio::select! {
            biased;
            failure = critical.failed() => panic!("{failure:?}"),
            () = std::future::ready(()) => {}
        }
        within("the engine to stop", engine.stop()).await;
    });
}

/// The record of a post is damaged, and its `request_id` is used once more: that call fails, and
/// does not ask to be repeated; the server goes on, and so it does after a restart.
#[test]
fn a_retry_whose_record_is_damaged_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let request = |text: &str, id: &str| PublishRequest {
        author_id: "alice".to_owned(),
        text: text.to_owned(),
        request_id: id.to_owned(),
        ..PublishRequest::default()
    };
    let damaged = request("what the record says", "once");
    runtime().block_on(async {
        let server = ServerProcess::start(folder.path());
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        client.publish(damaged.clone()).await.unwrap();
        for number in 0..100 {
            client.publish(request(&format!("post {number}"), "")).await.unwrap();
        }
        assert_eq!(server.terminated().await.0, Some(0));
    });
    spoil(&folder.path().join("log.redb"), damaged.text.as_bytes());

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
            let (code, said) = server.terminated().await;
            assert_eq!(code, Some(0));
            assert!(said.contains("log.redb") && said.contains("restore"), "{said}");
        });
    }
}

/// An engine's disks, once they were written and closed.
struct World {
    log: Disk,
    index: Disk,
    places: Places,
}

impl World {
    fn new() -> Self {
        let (log, index) = (Disk::default(), Disk::default());
        let places = runtime().block_on(async {
            let (engine, _) = open(&log, &index, &CriticalThreads::new(), Revision::ZERO, |_| {});
            let follow = engine
                .set(Relation::Follow(user("viewer"), user("author")), true)
                .await
                .unwrap()
                .revision;
            for followee in ["reposter", "answerer"] {
                engine.set(Relation::Follow(user("viewer"), user(followee)), true).await.unwrap();
            }
            let publish = async |name: &str, draft: Draft, id| {
                let published = engine.publish(user(name), draft, id).await.unwrap();
                published.post.revision
            };
            let once = Some(request_id("once"));
            let of_author = publish("author", post("a post").into(), once).await;
            let draft = Draft {
                reply_to: Some(PostId::from_revision(of_author)),
                ..post("a reply").into()
            };
            let reply = publish("answerer", draft, None).await;
            let mention = publish("answerer", post("of @author").into(), None).await;
            // Near the post the repost would be left out.
            for number in 0..BETWEEN {
                publish("author", post(&format!("post {number}")).into(), None).await;
            }
            let own = publish("reposter", post("a post of mine").into(), None).await;
            let react = async |kind, name, of| {
                engine.react(kind, user(name), PostId::from_revision(of)).await.unwrap().revision
            };
            let repost = react(ReactionKind::Repost, "reposter", of_author).await;
            let like = react(ReactionKind::Like, "viewer", of_author).await;
            let deletion =
                engine.delete(user("reposter"), PostId::from_revision(own)).await.unwrap();
            within("the engine to stop", engine.stop()).await;
            let deletion = deletion.revision;
            Places { follow, post: of_author, reply, repost, mention, like, deletion }
        });
        Self { log, index, places }
    }

    fn open(&self) -> (Engine, Arc<AlteredLog<Hole>>) {
        self.open_for(&CriticalThreads::new(), Revision::ZERO, |_| {})
    }

    fn open_for(
        &self,
        critical: &CriticalThreads,
        hole: Revision,
        change: impl FnOnce(&mut Limits),
    ) -> (Engine, Arc<AlteredLog<Hole>>) {
        open(&self.log, &self.index, critical, hole, change)
    }
}

/// An engine that keeps no posts in memory, on a log with a hole.
fn open(
    log: &Disk,
    index: &Disk,
    critical: &CriticalThreads,
    hole: Revision,
    change: impl FnOnce(&mut Limits),
) -> (Engine, Arc<AlteredLog<Hole>>) {
    let mut limits = Limits { post_cache_bytes_max: 1, ..Limits::default() };
    change(&mut limits);
    let log = LocalLog::with_files(log.clone(), "log", OPTIONS).unwrap();
    let index =
        Index::with_files(index, "index", &log, OPTIONS, limits.request_id_retention).unwrap();
    let (met, spared) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hole = Hole { at: AtomicU64::new(hole.get()), met, spared };
    let log = AlteredLog::new(Arc::new(log), hole);
    let shared = Arc::clone(&log) as Arc<dyn Log>;
    let engine = Engine::open_indexed(shared, index, &limits, Clock::system(), critical).unwrap();
    (engine, log)
}

/// A log that lacks what is at one revision.
#[derive(Debug)]
struct Hole {
    at: AtomicU64,
    met: AtomicUsize,
    /// How often it is still read before it is lacking.
    spared: AtomicUsize,
}

impl AlteredLog<Hole> {
    fn move_to(&self, revision: Revision) {
        self.alter.at.store(revision.get(), Ordering::SeqCst);
    }
}

impl Alter for Hole {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        let hole = Revision::new(self.at.load(Ordering::SeqCst));
        let mut events = log.get_many(revisions)?;
        for (event, _) in events.iter_mut().zip(revisions).filter(|(_, at)| **at == hole) {
            let take = |left: usize| left.checked_sub(1);
            if self.spared.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
                self.met.fetch_add(1, Ordering::SeqCst);
                *event = None;
            }
        }
        Ok(events)
    }
}

/// What a stream of `name`'s missed since `after`, as far as it can be read.
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
    let (items_max, place, all_replies) = (100, None, true);
    HomeFeed { user: user(name), items_max, position: place, with_own: false, all_replies }
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
    GetThread { viewer: user("viewer"), post, depth_max: 3, replies_max: 10, after: None }
}

fn replies(post: Revision) -> PostList {
    PostList::Replies(PostId::from_revision(post))
}

/// Changes a byte of `bytes` wherever the file has them.
fn spoil(file: &std::path::Path, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    let places: Vec<_> =
        (0..content.len() - bytes.len()).filter(|&at| content[at..].starts_with(bytes)).collect();
    assert!(!places.is_empty(), "it is there");
    places.into_iter().for_each(|at| content[at] ^= 1);
    std::fs::write(file, content).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
