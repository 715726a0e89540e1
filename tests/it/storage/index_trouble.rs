//! Trouble with the index is no trouble of the server's: it starts, serves and goes on, and no index
//! that is whole is ever thrown away.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
use whimbrel::client::Client;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::query::{self, HomeFeed, Reader};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::State;
use whimbrel::storage::{Error, Index, LocalLog, Log, OpenedIndex, Probe};

use crate::harness::{Disk, Setup, TestServer, Valve, eventually, refused, within};
use crate::server::process::{ServerProcess, kill_while_starting};
use crate::storage::fragile_disk::FragileDisk;
use crate::storage::local_log::OPTIONS;

const KEPT: Duration = Duration::from_secs(60 * 60);

/// Little stays in memory that the index has, and the index is written all the time.
fn limits() -> Limits {
    Limits {
        recent_revisions_per_author_max: 2,
        index_events_max: 7,
        index_write_delay_max: Duration::from_millis(1),
        post_cache_bytes_max: 1 << 12,
        ..Limits::default()
    }
}

/// A start that is killed leaves a note, as one that the index ended does. The next looks into it in
/// another process, finds nothing wrong, and uses the index as it is.
#[test]
fn kills_do_not_cost_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index.redb");
    let server = ServerProcess::start(folder.path());
    publish(&server, 40);
    assert_eq!(server.terminate(), Some(0));
    let whole = number_of(&index);

    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..6 {
        kill_while_starting(folder.path(), Duration::from_millis(random.u64(1..20)));
    }
    // Whatever the moments of those were.
    fs::write(folder.path().join("index.busy"), "").unwrap();
    let server = ServerProcess::start_talking(folder.path());
    assert_eq!(feed(&server, "user1").len(), 20);
    let said = runtime().block_on(server.terminated()).1;
    assert!(!said.contains("WARN"), "{said}");
    assert!(said.contains("indexed=40"), "nothing was replayed: {said}");
    assert_eq!(number_of(&index), whole, "it is the same file");
    assert!(!folder.path().join("index.busy").exists());
}

/// What another process says of a file over which one has died: only if that dies of it, by itself,
/// the file is given up.
#[test]
fn an_index_is_given_up_only_if_it_ends_who_opens_it() {
    let shell = |script: &str| {
        let arguments = ["-c", script].map(OsString::from);
        Probe::new(PathBuf::from("/bin/sh"), arguments.into())
    };
    let died_before = |probe: Option<Probe>, noted: bool| {
        let folder = folder_with_index();
        if noted {
            fs::write(folder.path().join("index.busy"), "").unwrap();
        }
        let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
        let opened = Index::open_with_probe(folder.path(), &log, OPTIONS, KEPT, probe).unwrap();
        assert!(!folder.path().join("index.busy").exists(), "it is open");
        opened.contents.complete_until == log.head()
    };
    let aborts = || shell("kill -ABRT $$");
    assert!(!died_before(Some(aborts()), true));
    assert!(!died_before(Some(shell("kill -SEGV $$")), true));
    assert!(died_before(Some(aborts()), false), "nobody has died");
    assert!(died_before(None, true), "nobody is asked");
    assert!(died_before(Some(shell("kill -KILL $$")), true), "it was killed");
    assert!(died_before(Some(shell("kill -TERM $$")), true), "it was killed");
    assert!(died_before(Some(shell("exit 0")), true));
    assert!(died_before(Some(shell("exit 7")), true), "it does not know this");
    assert!(died_before(Some(Probe::new(PathBuf::from("/nothing"), Vec::new())), true));
}

/// The program itself, asked to look into a file that is whole, and at one that is none.
#[test]
fn the_program_looks_into_an_index() {
    let folder = folder_with_index();
    let index = folder.path().join("index.redb");
    whimbrel::storage::probe_index(&index).unwrap();
    let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
    assert_eq!(open_index(folder.path(), &log).contents.complete_until, log.head());
    fs::write(&index, [7; 10_000]).unwrap();
    whimbrel::storage::probe_index(&index).unwrap_err();
}

/// What a rebuild has written stays: a start that was cut off goes on with it, and the one before it
/// stays until it is whole.
#[test]
fn a_rebuild_that_was_cut_off_goes_on() {
    let folder = folder_with_index();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), OPTIONS).unwrap());
    let [index, new] = ["index.redb", "index.redb.new"].map(|name| folder.path().join(name));
    // Of another log, and so of no use; but not damaged.
    let other = folder_with_index();
    fs::copy(other.path().join("index.redb"), &index).unwrap();
    let of_another = number_of(&index);

    let opened = open_index(folder.path(), &*log);
    assert_eq!(opened.contents.complete_until, Revision::ZERO);
    let view = State::load(Arc::clone(&log), opened, &limits());
    replay(&view, &*log);
    write_index(&view, &*log, Revision::new(30));
    drop(view);
    assert_eq!(number_of(&index), of_another, "it is not whole");

    let opened = open_index(folder.path(), &*log);
    assert_eq!(opened.contents.complete_until, Revision::new(30));
    let view = State::load(Arc::clone(&log), opened, &limits());
    replay(&view, &*log);
    write_index(&view, &*log, log.head());
    view.index().unwrap().install_new_file();
    drop(view);
    assert!(!new.exists());
    assert_eq!(open_index(folder.path(), &*log).contents.complete_until, log.head());
    assert_ne!(number_of(&index), of_another);
}

/// A folder in the place of the index, and one that nothing can be put in the place of.
#[test]
fn a_folder_in_the_place_of_the_index_is_no_obstacle() {
    let folder = folder_with_index();
    let index = folder.path().join("index.redb");
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    fs::write(index.join("something"), "of somebody").unwrap();
    for replayed in ["indexed=0", "indexed=40"] {
        let server = ServerProcess::start_talking(folder.path());
        assert_eq!(feed(&server, "user1").len(), 20);
        let (code, said) = runtime().block_on(server.terminated());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("index.redb") && said.contains("the index is not used"), "{said}");
        assert!(said.contains(replayed), "what was rebuilt is found again: {said}");
    }
    assert!(index.join("something").exists());

    fs::create_dir(folder.path().join("index.redb.new.d")).unwrap();
    fs::remove_file(folder.path().join("index.redb.new")).unwrap();
    fs::rename(folder.path().join("index.redb.new.d"), folder.path().join("index.redb.new"))
        .unwrap();
    let server = ServerProcess::start_talking(folder.path());
    publish(&server, 2);
    assert_eq!(feed(&server, "user1").len(), 21);
    let (code, said) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the server goes on without"), "{said}");
}

/// On a disk that takes nothing more, what is there is read, with and without an index; and when there
/// is room, the index is made.
#[test]
fn a_start_on_a_full_disk_serves_reads() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    publish(&server, 40);
    server.kill();
    for name in ["index.redb", "index.busy"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    // Nothing but the beginning of a file can be written.
    let server = ServerProcess::start_on_failing_disk(folder.path(), 16);
    assert_eq!(feed(&server, "user1").len(), 20);
    assert_eq!(feed(&server, "user0").len(), 20);
    let (code, said) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("index.redb") && said.contains("WARN"), "{said}");

    let server = ServerProcess::start_on_full_disk(folder.path());
    assert_eq!(feed(&server, "user1").len(), 20);
    let (code, said) = runtime().block_on(server.terminated());
    assert_eq!(code, Some(0), "{said}");
    assert!(!folder.path().join("index.redb").exists(), "{said}");

    assert_eq!(ServerProcess::start(folder.path()).terminate(), Some(0));
    let log = LocalLog::open(folder.path(), OPTIONS).unwrap();
    assert_eq!(open_index(folder.path(), &log).contents.complete_until, log.head());
}

/// The index's disk fails at any of its writes or flushes: changes and reads of what is new go on,
/// and when the disk is well again the index is written.
#[test]
fn a_failing_disk_of_the_index_ends_nothing() {
    for failing in 0..6 {
        let fail = |disk: &FragileDisk| match failing % 2 {
            0 => disk.fail_after_syncs(failing),
            _ => disk.fail_after_writes(7 * failing),
        };
        let (log, index) = (Disk::default(), FragileDisk::default());
        let mut made = Revision::ZERO;
        runtime().block_on(async {
            let critical = CriticalThreads::new();
            let opened_log: Arc<dyn Log> =
                Arc::new(LocalLog::with_files(log.clone(), "log", OPTIONS).unwrap());
            let opened = Index::with_files(&index, "index", &*opened_log, OPTIONS, KEPT).unwrap();
            fail(&index);
            let clock = Clock::system();
            let engine = Engine::open_indexed(opened_log, opened, &limits(), clock, &critical);
            let engine = engine.unwrap();
            let publish = async || {
                let text = PostText::parse("hello").unwrap();
                engine.publish(user(0), text, None).await.unwrap();
            };
            eventually("the failure to be met", async || {
                publish().await;
                (!engine.is_complete()).then_some(())
            })
            .await;
            for _ in 0..20 {
                publish().await;
            }
            index.heal();
            eventually("the index to be mended", async || engine.is_complete().then_some(())).await;
            assert_eq!(critical.failure(), None);
            made = engine.cursor().required_revision();
            within("the engine to stop", engine.stop()).await;
            assert_eq!(critical.failure(), None);
        });
        let log: Arc<dyn Log> = Arc::new(LocalLog::with_files(log, "log", OPTIONS).unwrap());
        assert!(made > Revision::new(20));
        assert_eq!(log.head(), made, "all that was answered is there");
    }
}

/// An index that is lost refuses what only it has, and gives it again once it was rebuilt under the
/// hands of those who read.
#[test]
fn what_only_a_lost_index_has_is_refused_until_it_is_rebuilt() {
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_files(Disk::default(), "log", OPTIONS).unwrap());
    let disk = FragileDisk::default();
    let opened = Index::with_files(&disk, "index", &*log, OPTIONS, KEPT).unwrap();
    let view = Arc::new(State::load(Arc::clone(&log), opened, &limits()));
    let reader = Reader::new(Arc::clone(&view), &limits());
    append(&*log, 60);
    replay(&view, &*log);
    write_index(&view, &*log, log.head());
    let query = HomeFeed {
        user: user(0),
        position: None,
        items_max: 100,
        with_own: true,
        all_replies: false,
    };
    let expected = reader.ask_blocking(&query).unwrap().items;
    assert_eq!(expected.len(), 30);

    let index = view.index().unwrap();
    index.set_has_repairer(true);
    append(&*log, 1);
    replay(&view, &*log);
    disk.fail_after_writes(0);
    let entries = log.read(index.complete_until(), 10).unwrap();
    let mut writing = view.write_to(index).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let lost = index.write(&mut writing.into_rows(), &entries[0]).unwrap_err();
    assert!(matches!(lost, Error::IndexLost { .. }), "{lost}");
    let refused = reader.ask_blocking(&query).unwrap_err();
    assert!(matches!(refused, query::Error::Storage(Error::IndexLost { .. })), "{refused}");
    let query_of_new = HomeFeed { items_max: 1, ..query.clone() };
    assert!(reader.ask_memory(&query_of_new).unwrap().is_some(), "what memory has is read");

    disk.heal();
    let fresh = index.new_replacement(&*log).unwrap();
    let until = index.complete_until();
    let entries = log.read(Revision::ZERO, usize::try_from(until.get()).unwrap()).unwrap();
    let mut writing = view.write_to(&fresh).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    fresh.write(&mut writing.into_rows(), entries.last().unwrap()).unwrap();
    reader.ask_blocking(&query).unwrap_err();
    index.replace_with(fresh);
    assert_eq!(reader.ask_blocking(&query).unwrap().items[1..], expected[..]);
}

/// While a server has lost its index, health says that it does not serve, and a reader of what is old
/// is asked to come back; once it is rebuilt, all is as before.
#[tokio::test]
async fn a_lost_index_is_reported() {
    let reads = Valve::default();
    let (server, whole) = server_with_damaged_index(&reads).await;
    let bob = server.user("bob");
    reads.shut();
    let lost = refused(bob.tries_to_read(whole.clone()).await);
    lost.with(Code::Unavailable, "INDEX_LOST").with_a_delay();
    reads.holds_one().await;
    health_becomes(&server, ServingStatus::NotServing).await;
    let newest = NewsFeedRequest { page_size: 1, ..NewsFeedRequest::default() };
    assert_eq!(server.user("carol").tries_to_read(newest).await.unwrap().items.len(), 0);

    reads.open();
    health_becomes(&server, ServingStatus::Serving).await;
    assert_eq!(bob.tries_to_read(whole).await.unwrap().items.len(), 10);
    server.stop().await;
}

/// Where no file can be written, it is rebuilt in memory, and put into a file once one can.
#[tokio::test]
async fn a_lost_index_is_mended_without_a_disk() {
    let (server, whole) = server_with_damaged_index(&Valve::default()).await;
    let bob = server.user("bob");
    let [index, new] =
        ["index.redb", "index.redb.new"].map(|name| server.folder().path().join(name));
    // Nothing can be made there.
    fs::create_dir(&new).unwrap();
    refused(bob.tries_to_read(whole.clone()).await).with(Code::Unavailable, "INDEX_LOST");
    let mended =
        eventually("the index to be mended", async || bob.tries_to_read(whole.clone()).await.ok());
    assert_eq!(mended.await.items.len(), 10);
    assert!(!index.exists());
    bob.publishes("in between").await;

    fs::remove_dir(&new).unwrap();
    eventually("the index to be in its file", async || index.exists().then_some(())).await;
    assert_eq!(bob.tries_to_read(whole).await.unwrap().items.len(), 11);
    server.stop().await;
}

/// A server of which the index is not what was written, where it was not read yet; and the request
/// that reads it. The log has ten posts of bob's.
async fn server_with_damaged_index(reads: &Valve) -> (TestServer, NewsFeedRequest) {
    let setup = Setup::new().reads_through(reads).limits(|limits| {
        limits.recent_revisions_per_author_max = 1;
        // What is on the disk is read there.
        limits.log_cache_bytes = 0;
    });
    let mut server = setup.start().await;
    for number in 0..10 {
        server.user("bob").publishes(&format!("post {number}")).await;
    }
    server.restart().await;
    let index = server.folder().path().join("index.redb");
    let length = fs::metadata(&index).unwrap().len();
    fs::write(&index, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    (server, NewsFeedRequest { page_size: 100, ..NewsFeedRequest::default() })
}

async fn health_becomes(server: &TestServer, expected: ServingStatus) {
    let mut health = HealthClient::new(server.channel());
    eventually(&format!("health to be {expected:?}"), async || {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        (answer.into_inner().status() == expected).then_some(())
    })
    .await;
}

/// A folder with a log of forty posts, and an index of all of it.
fn folder_with_index() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), OPTIONS).unwrap());
    append(&*log, 40);
    let view = State::load(Arc::clone(&log), open_index(folder.path(), &*log), &limits());
    replay(&view, &*log);
    write_index(&view, &*log, log.head());
    folder
}

/// Posts of two users, in turns.
fn append(log: &dyn Log, posts: u64) {
    for _ in 0..posts {
        let number = log.head().get();
        let text = PostText::parse(&format!("post {number}")).unwrap();
        let author = user(usize::try_from(number % 2).unwrap());
        let content = Content::from_text(text);
        let change = Change::Publish { author, content, request_id: None };
        let event = Event::new(Timestamp::from_nanos(number), change);
        log.append(log.head(), vec![event]).unwrap();
    }
}

fn replay(view: &State, log: &dyn Log) {
    for entry in log.read(view.applied(), usize::MAX).unwrap() {
        view.apply(entry.revision, &entry.event).unwrap();
    }
}

/// Brings the index of `view` up to `until`, as the indexer does.
fn write_index(view: &State, log: &dyn Log, until: Revision) {
    let index = view.index().unwrap();
    let after = index.complete_until();
    let count = usize::try_from(until.get() - after.get()).unwrap();
    let entries = log.read(after, count).unwrap();
    let mut writing = view.write_to(index).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let mut rows = writing.into_rows();
    index.write(&mut rows, entries.last().unwrap()).unwrap();
    view.indexed(&rows, until);
}

fn open_index(dir: &Path, log: &dyn Log) -> OpenedIndex {
    Index::open(dir, log, OPTIONS, KEPT).unwrap()
}

fn number_of(file: &Path) -> u64 {
    fs::metadata(file).unwrap().ino()
}

/// Posts by two users, in turns.
fn publish(server: &ServerProcess, posts: usize) {
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        for number in 0..posts {
            let author_id = format!("user{}", number % 2);
            let text = format!("post {number}");
            let request = PublishRequest { author_id, text, ..PublishRequest::default() };
            client.publish(request).await.unwrap();
        }
    });
}

/// The texts of a user's own posts.
fn feed(server: &ServerProcess, user: &str) -> Vec<String> {
    runtime().block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        let request = NewsFeedRequest {
            user_id: user.to_owned(),
            page_size: 100,
            ..NewsFeedRequest::default()
        };
        let page = client.news_feed(request).await.unwrap();
        let posts = page.items.into_iter().filter_map(|item| item.post);
        posts.map(|post| post.text).collect()
    })
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
