//! Trouble while the server runs: failing disks, a lost index, and its repair.

use std::fs;
use std::sync::Arc;

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::engine::Engine;
use whimbrel::model::{PostText, Revision};
use whimbrel::query::{self, HomeFeed, Reader};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::State;
use whimbrel::storage::{Error, Index, LocalLog, Log};

use super::{KEPT, append, limits, replay, runtime, user, write_index};
use crate::harness::{
    INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, Setup, TestServer, Valve, eventually, refused, within,
};
use crate::storage::fragile_disk::FragileDisk;

/// The disk of the index fails at any write or flush: changes succeed all the same, and once the
/// disk works again the index is written.
#[test]
fn a_failing_disk_of_the_index_does_not_end_the_engine() {
    for failing in 0..6 {
        let fail = |disk: &FragileDisk| match failing % 2 {
            0 => disk.fail_after_syncs(failing),
            _ => disk.fail_after_writes(7 * failing),
        };
        let (log, index) = (MemoryFolder::default(), FragileDisk::default());
        let mut made = Revision::ZERO;
        runtime().block_on(async {
            let critical = CriticalThreads::new();
            let opened_log: Arc<dyn Log> =
                Arc::new(LocalLog::with_folder(log.clone(), LOG_OPTIONS).unwrap());
            let opened =
                Index::with_files(&index, "index", &*opened_log, INDEX_OPTIONS, KEPT).unwrap();
            fail(&index);
            let clock = Clock::system();
            let engine = Engine::open_indexed(opened_log, opened, &limits(), clock, &critical);
            let engine = engine.unwrap();
            let publish = async || {
                let text = PostText::parse("hello").unwrap();
                engine.publish(user(0), text, None).await.unwrap();
            };
            eventually("the disk to fail", async || {
                publish().await;
                (!engine.is_complete()).then_some(())
            })
            .await;
            for _ in 0..20 {
                publish().await;
            }
            index.heal();
            eventually("the index to be repaired", async || engine.is_complete().then_some(()))
                .await;
            assert_eq!(critical.failure(), None);
            made = engine.cursor().required_revision();
            within("the engine to stop", engine.stop()).await;
            assert_eq!(critical.failure(), None);
        });
        let log: Arc<dyn Log> = Arc::new(LocalLog::with_folder(log, LOG_OPTIONS).unwrap());
        assert!(made > Revision::new(20));
        assert_eq!(log.head(), made, "every acknowledged post is in the log");
    }
}

/// Reads that need a lost index are refused until it is rebuilt; reads from memory succeed.
#[test]
fn reads_that_need_a_lost_index_are_refused_until_it_is_rebuilt() {
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
    let disk = FragileDisk::default();
    let opened = Index::with_files(&disk, "index", &*log, INDEX_OPTIONS, KEPT).unwrap();
    let state = Arc::new(State::load(Arc::clone(&log), opened, &limits()).unwrap());
    let reader = Reader::new(Arc::clone(&state), &limits());
    append(&*log, 60);
    replay(&state, &*log);
    write_index(&state, &*log, log.head());
    let query = HomeFeed {
        user: user(0),
        position: None,
        items_max: 100,
        with_own: true,
        all_replies: false,
    };
    let expected = reader.ask_blocking(&query).unwrap().items;
    assert_eq!(expected.len(), 30);

    let index = state.index().unwrap();
    index.set_has_repairer(true);
    append(&*log, 1);
    replay(&state, &*log);
    disk.fail_after_writes(0);
    let entries = log.read(index.complete_until(), 10).unwrap();
    let mut writing = state.write_to(index).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let last = entries[0].revision;
    let chain = log.chain(last).unwrap().unwrap();
    let lost = index.write(&writing.into_rows(), last, chain).unwrap_err();
    assert!(matches!(lost, Error::IndexLost { .. }), "{lost}");
    let refused = reader.ask_blocking(&query).unwrap_err();
    assert!(matches!(refused, query::Error::Storage(Error::IndexLost { .. })), "{refused}");
    let query_of_new = HomeFeed { items_max: 1, ..query.clone() };
    assert!(reader.ask_memory(&query_of_new).unwrap().is_some(), "the newest post is in memory");

    disk.heal();
    let fresh = index.new_replacement(&*log).unwrap();
    let until = index.complete_until();
    let entries = log.read(Revision::ZERO, usize::try_from(until.get()).unwrap()).unwrap();
    let mut writing = state.write_to(&fresh).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let last = entries.last().unwrap().revision;
    let chain = log.chain(last).unwrap().unwrap();
    fresh.write(&writing.into_rows(), last, chain).unwrap();
    reader.ask_blocking(&query).unwrap_err();
    index.replace_with(fresh);
    assert_eq!(reader.ask_blocking(&query).unwrap().items[1..], expected[..]);
}

/// While the index is lost, health is NOT_SERVING, and reads of old posts are refused with a delay.
/// Once it is rebuilt, both are as before.
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

/// If no file can be written, a lost index is rebuilt in memory, and written to a file once that is
/// possible.
#[tokio::test]
async fn a_lost_index_is_rebuilt_in_memory_if_the_disk_fails() {
    let (server, whole) = server_with_damaged_index(&Valve::default()).await;
    let bob = server.user("bob");
    let [index, new] =
        ["index.redb", "index.redb.new"].map(|name| server.folder().path().join(name));
    // No file can be created at this path.
    fs::create_dir(&new).unwrap();
    refused(bob.tries_to_read(whole.clone()).await).with(Code::Unavailable, "INDEX_LOST");
    let repaired = eventually("the index to be repaired", async || {
        bob.tries_to_read(whole.clone()).await.ok()
    });
    assert_eq!(repaired.await.items.len(), 10);
    assert!(!index.exists());
    bob.publishes("in between").await;

    fs::remove_dir(&new).unwrap();
    eventually("the index to be written to its file", async || index.exists().then_some(())).await;
    assert_eq!(bob.tries_to_read(whole).await.unwrap().items.len(), 11);
    server.stop().await;
}

/// A server with ten posts of bob's and an overwritten index that it has not read yet; and a
/// request that reads the index.
pub(crate) async fn server_with_damaged_index(reads: &Valve) -> (TestServer, NewsFeedRequest) {
    let setup = Setup::new().admin().reads_through(reads).limits(|limits| {
        limits.recent_revisions_per_author_max = 1;
        // Without a cache every read goes to the disk.
        limits.log_segment_bytes_max = 64 << 10;
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
