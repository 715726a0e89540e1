//! The contents of deleted posts are erased from the disk by the next compaction, and nothing else
//! is.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Semaphore;
use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine, Error};
use whimbrel::live::{LiveStream, Start, StreamMessage, WatchOptions};
use whimbrel::model::{
    Attachment, Change, Content, Event, Facet, Facets, Feature, Lang, Link, Post, Relation,
    Revision, Tag, Timestamp,
};
use whimbrel::query::HomeFeed;
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{self, EraseOutcome, Erasure, Index, LocalLog, Log, LogOptions};

use crate::harness::core::{FEED, post, request_id, step, texts, user};
use crate::harness::{
    Alter, AlteredLog, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, eventually, load_index,
    within,
};

/// Texts that occur in no other data.
const SECRETS: [&str; 7] = [
    "kestrel over the harbour",
    "https://example.org/kestrel.png",
    "image/x-kestrel",
    "a kestrel",
    "https://example.org/harbour",
    "harbourlife",
    // A name of no user, as users are not erased.
    "harbourmaster",
];
const KEPT: &str = "redshank on the mudflat";

/// A post with text, facets and attachments is published and deleted. After the compaction no byte
/// of it is in any file, and reads and streams have not changed.
#[tokio::test]
async fn a_deleted_text_is_erased_by_the_next_compaction() {
    let data = Data::new();
    let (log, engine) = data.open(&Limits::default());
    let follow = engine.set(Relation::Follow(user("carol"), user("bob")), true).await.unwrap();
    engine.set(Relation::Follow(user("dave"), user("alice")), true).await.unwrap();
    let kept = engine.publish(user("bob"), post(KEPT), None).await.unwrap().post;
    let deleted = engine.publish(user("alice"), secret(), Some(request_id("once"))).await.unwrap();
    engine.delete(user("alice"), deleted.post.id()).await.unwrap();
    within("the engine to stop", engine.stop()).await;
    drop((log, engine));
    for secret in SECRETS.iter().chain([&KEPT]) {
        assert!(data.has(secret), "before the compaction {secret:?} is on the disk");
    }

    // Posts deleted before and after the start are both erased.
    let (log, engine) = data.open(&often());
    let options = WatchOptions { of: FEED, heartbeat: Duration::from_secs(20), reset_items: None };
    let mut stream = engine.watch(&user("carol"), Start::After(follow.cursor), options).unwrap();
    assert_eq!(texts(&events(&mut stream).await), [KEPT]);
    erased_until(&*log, deleted.post.revision.next()).await;
    let later = engine.publish(user("alice"), secret(), None).await.unwrap().post;
    let deletion = engine.delete(user("alice"), later.id()).await.unwrap();
    erased_until(&*log, deletion.revision).await;
    gone(&data, &[KEPT]);

    // The stream continues across the exchange of files, and a resumed one has the same events.
    engine.publish(user("bob"), post("curlew"), None).await.unwrap();
    assert_eq!(texts(&events(&mut stream).await), ["curlew"]);
    let mut resumed = engine.watch(&user("carol"), Start::After(follow.cursor), options).unwrap();
    assert_eq!(texts(&events(&mut resumed).await), [KEPT, "curlew"]);
    assert_eq!(feed(&engine, "carol").await, ["curlew", KEPT]);
    check_left(&*log, &engine, &deleted.post).await;
    within("the engine to stop", engine.stop()).await;
    drop((stream, resumed, log, engine));
    gone(&data, &[KEPT, "curlew"]);

    // After a start there is nothing to erase, and reads are the same.
    let (log, engine) = data.open(&Limits::default());
    assert_eq!(log.erased_until(), deletion.revision);
    assert_eq!(feed(&engine, "carol").await, ["curlew", KEPT]);
    assert_eq!(log.get(kept.revision).unwrap().unwrap().time, kept.time);
    check_left(&*log, &engine, &deleted.post).await;
    within("the engine to stop", engine.stop()).await;
}

/// An erased post keeps its request id and its revision.
async fn check_left(log: &dyn Log, engine: &Engine, deleted: &Post) {
    let left = Change::Erased {
        author: user("alice"),
        reply_to: None,
        quote: None,
        request_id: Some(request_id("once")),
    };
    let event = log.get(deleted.revision).unwrap().unwrap();
    assert_eq!((event.time, event.change), (deleted.time, left));
    assert_eq!(feed(engine, "dave").await, [] as [&str; 0]);
    let again = engine.publish(user("alice"), secret(), Some(request_id("once"))).await;
    assert!(matches!(again, Err(Error::PostDeleted { .. })), "{again:?}");
}

/// A compaction waits for the set interval, and erases all deleted posts together.
#[tokio::test]
async fn posts_are_erased_together_once_an_interval() {
    let hour = Duration::from_secs(60 * 60);
    let clock = Clock::held_at(hour);
    // It polls often; only the clock ends the interval.
    let limits = Limits { compaction_interval: Duration::from_millis(50), ..Limits::default() };
    let log = AlteredLog::new(in_memory(), Noted::default());
    let noted = &log.alter;
    let open =
        || Engine::open(Arc::clone(&log) as _, &limits, clock.clone(), &CriticalThreads::new());
    let engine = open().unwrap();
    let delete = async |text: &str| {
        let published = engine.publish(user("alice"), post(text), None).await.unwrap();
        let deleted = engine.delete(user("alice"), published.post.id()).await.unwrap();
        within("a read of the deletion", noted.looked(deleted.revision)).await;
        published.post.revision
    };
    // A look at the second deletion implies a decision about the first.
    let posts = [delete("one").await, delete("two").await, delete("three").await];
    assert_eq!(noted.erasures(), [] as [Vec<Revision>; 0]);
    clock.pass(limits.compaction_interval);
    erased_until(&*log, posts[2].next()).await;
    let later = [delete("four").await, delete("five").await];
    assert_eq!(noted.erasures(), [posts.to_vec()]);

    clock.pass(limits.compaction_interval);
    erased_until(&*log, later[1].next()).await;
    assert_eq!(noted.erasures(), [posts.to_vec(), later.to_vec()]);
    within("the engine to stop", engine.stop()).await;
}

/// A postponed compaction is tried again. An unrepost causes none.
#[tokio::test]
async fn a_postponed_compaction_is_tried_again() {
    let log = AlteredLog::new(in_memory(), Noted::default());
    let noted = &log.alter;
    let engine =
        Engine::open(Arc::clone(&log) as _, &often(), Clock::system(), &CriticalThreads::new());
    let engine = engine.unwrap();
    let one = engine.publish(user("alice"), post("one"), None).await.unwrap().post;
    engine.set(Relation::Repost(user("bob"), one.id()), true).await.unwrap();
    let taken_back = engine.set(Relation::Repost(user("bob"), one.id()), false).await.unwrap();
    within("a read of the deletion", noted.looked(taken_back.revision)).await;
    noted.postponed.store(3, Ordering::SeqCst);
    let deletion = engine.delete(user("alice"), one.id()).await.unwrap();
    erased_until(&*log, deletion.revision).await;
    assert_eq!(noted.erasures(), vec![vec![one.revision]; 4]);
    within("the engine to stop", engine.stop()).await;
}

/// A stop does not wait for a compaction.
#[tokio::test]
async fn a_stop_cancels_a_compaction() {
    let log = AlteredLog::new(in_memory(), Endless(Semaphore::new(0)));
    let engine =
        Engine::open(Arc::clone(&log) as _, &often(), Clock::system(), &CriticalThreads::new());
    let engine = engine.unwrap();
    delete_one(&engine).await;
    let _begun = within("a compaction to begin", log.alter.0.acquire()).await.unwrap();
    within("the engine to stop", engine.stop()).await;
}

/// A compaction that fails or panics ends the process, as the content of the disk is unknown.
#[tokio::test]
async fn a_compaction_that_fails_ends_the_engine() {
    for panics in [false, true] {
        let critical = CriticalThreads::new();
        let log = AlteredLog::new(in_memory(), Broken { panics });
        let engine = Engine::open(log, &often(), Clock::system(), &critical).unwrap();
        delete_one(&engine).await;
        let failure = within("the failure to be reported", critical.failed()).await;
        assert_eq!(failure.part, "whimbrel-erase");
    }
}

/// Without space for a copy the log is not changed.
#[test]
fn without_room_for_a_copy_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    log.append(Revision::ZERO, vec![published("alice", "one")]).unwrap();
    drop(log);
    let options = LogOptions { disk_free_bytes_min: u64::MAX, ..LOG_OPTIONS };
    let log = LocalLog::open(folder.path(), options).unwrap();
    let outcome = log.erase(&erasure(1), &|| true).unwrap();
    let EraseOutcome::Postponed(reason) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(reason, storage::Error::NoRoomForCopy { .. }), "{reason}");
    assert!(!files(&folder.path().join("log")).iter().any(|name| name.ends_with(".new")));
    assert_eq!(log.get(Revision::new(1)).unwrap(), Some(published("alice", "one")));
}

/// A copy that a crash left is removed by the next start.
#[test]
fn an_unfinished_copy_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    log.append(Revision::ZERO, vec![published("alice", "one")]).unwrap();
    let id = log.id();
    drop(log);
    let unfinished = folder.path().join("log/0000000000000001.seg.new");
    std::fs::write(&unfinished, b"half a file").unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    assert!(!unfinished.exists());
    assert_eq!((log.id(), log.head()), (id, Revision::new(1)));
    // A cancelled compaction leaves no copy either.
    assert!(matches!(log.erase(&erasure(1), &|| false).unwrap(), EraseOutcome::Abandoned));
    assert!(!unfinished.exists());
}

/// An index that ends at a post still fits its log after that post is erased.
#[test]
fn the_index_outlives_the_erasure_of_the_post_it_ends_at() {
    let (log, disk) = (in_memory(), Disk::default());
    let kept = Limits::default().request_id_retention;
    log.append(Revision::ZERO, vec![published("alice", "one")]).unwrap();
    let open = || Index::with_files(&disk, "index", &*log, INDEX_OPTIONS, kept).unwrap();
    let chain = log.chain(Revision::new(1)).unwrap().unwrap();
    let index = load_index(open(), &*log).0;
    index.write(&index.new_rows(), Revision::new(1), chain).unwrap();
    drop(index);
    assert_eq!(open().complete_until(), Revision::new(1));

    assert!(matches!(log.erase(&erasure(1), &|| true).unwrap(), EraseOutcome::Done));
    assert_ne!(log.get(Revision::new(1)).unwrap(), Some(published("alice", "one")));
    assert_eq!(open().complete_until(), Revision::new(1));
}

/// A folder with a log and an index.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, limits: &Limits) -> (Arc<LocalLog>, Engine) {
        let log = Arc::new(LocalLog::open(self.0.path(), LOG_OPTIONS).unwrap());
        let index =
            Index::open(self.0.path(), &*log, INDEX_OPTIONS, limits.request_id_retention).unwrap();
        let critical = CriticalThreads::new();
        let opened =
            Engine::open_indexed(Arc::clone(&log) as _, index, limits, Clock::system(), &critical);
        (log, opened.unwrap())
    }

    /// Whether any file has `text`.
    fn has(&self, text: &str) -> bool {
        let folders = [self.0.path().to_owned(), self.0.path().join("log")];
        let all = folders.iter().flat_map(|folder| {
            files(folder).into_iter().map(|name| folder.join(name)).filter(|file| file.is_file())
        });
        all.into_iter().any(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        })
    }
}

/// Checks that no file has a secret, and that files have `kept`.
fn gone(data: &Data, kept: &[&str]) {
    for secret in SECRETS {
        assert!(!data.has(secret), "{secret:?} is still on the disk");
    }
    for text in kept {
        assert!(data.has(text), "{text:?} is missing on the disk");
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn often() -> Limits {
    Limits { compaction_interval: Duration::from_millis(1), ..Limits::default() }
}

fn secret() -> Draft {
    let [text, uri, media_type, alt, link, tag, nobody] = SECRETS;
    let facet = |start, feature| Facet { start, end: start + 1, feature };
    let facets = [
        facet(0, Feature::Link(Link::parse(link).unwrap())),
        facet(1, Feature::Tag(Tag::parse(tag).unwrap())),
        facet(2, Feature::Mention(user(nobody))),
    ];
    Draft {
        text: post(text),
        reply_to: None,
        quote: None,
        attachments: [Attachment::parse(uri, media_type, alt).unwrap()].into(),
        langs: [Lang::parse("en").unwrap()].into(),
        facets: Some(Facets::from_author(&post(text), facets.into()).unwrap()),
    }
}

fn published(author: &str, text: &str) -> Event {
    let content = Content::from_text(post(text));
    let change = Change::Publish { author: user(author), content, request_id: None };
    Event::new(Timestamp::default(), change)
}

fn erasure(post: u64) -> Erasure {
    Erasure { posts: vec![Revision::new(post)], until: Revision::new(post) }
}

fn in_memory() -> Arc<dyn Log> {
    Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap())
}

async fn delete_one(engine: &Engine) {
    let one = engine.publish(user("alice"), post("one"), None).await.unwrap().post;
    engine.delete(user("alice"), one.id()).await.unwrap();
}

async fn erased_until(log: &dyn Log, revision: Revision) {
    eventually("the post to be erased", async || (log.erased_until() >= revision).then_some(()))
        .await;
}

/// The next batch of a stream.
async fn events(stream: &mut LiveStream) -> StreamMessage {
    loop {
        let step = step(stream).await;
        if matches!(&step, StreamMessage::Batch { events, .. } if !events.is_empty()) {
            return step;
        }
    }
}

async fn feed(engine: &Engine, name: &str) -> Vec<String> {
    let query = HomeFeed {
        user: user(name),
        items_max: 10,
        position: None,
        with_own: true,
        all_replies: false,
    };
    let items = engine.ask(query).await.unwrap().items;
    items.iter().map(|item| item.post.post.content.text.as_str().to_owned()).collect()
}

/// Records erasures, and reads by revision.
#[derive(Debug, Default)]
struct Noted {
    erasures: Mutex<Vec<Vec<Revision>>>,
    read: Mutex<Vec<Revision>>,
    /// The number of erasures to postpone.
    postponed: AtomicUsize,
}

impl Noted {
    fn erasures(&self) -> Vec<Vec<Revision>> {
        self.erasures.lock().unwrap().clone()
    }

    /// Waits until the compactor has read the deletion at `revision`.
    async fn looked(&self, revision: Revision) {
        let looked = async || self.read.lock().unwrap().contains(&revision).then_some(());
        eventually("a read of the deletion", looked).await;
    }
}

impl Alter for Noted {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        self.read.lock().unwrap().extend(revisions);
        log.get_many(revisions)
    }

    fn erase(
        &self,
        log: &dyn Log,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, storage::Error> {
        self.erasures.lock().unwrap().push(erasure.posts.clone());
        let left = self.postponed.load(Ordering::SeqCst);
        if left > 0 {
            self.postponed.store(left - 1, Ordering::SeqCst);
            return Ok(EraseOutcome::Postponed(storage::Error::Closed));
        }
        log.erase(erasure, go_on)
    }
}

/// A compaction that ends only when it is cancelled.
#[derive(Debug)]
struct Endless(Semaphore);

impl Alter for Endless {
    fn erase(
        &self,
        _: &dyn Log,
        _: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, storage::Error> {
        self.0.add_permits(1);
        while go_on() {
            std::thread::yield_now();
        }
        Ok(EraseOutcome::Abandoned)
    }
}

#[derive(Debug)]
struct Broken {
    panics: bool,
}

impl Alter for Broken {
    fn erase(
        &self,
        _: &dyn Log,
        _: &Erasure,
        _: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, storage::Error> {
        assert!(!self.panics, "as if by mistake");
        Err(storage::Error::Closed)
    }
}
