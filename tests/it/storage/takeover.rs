//! A data folder whose log is a file of redb: whatever interrupts a start on it, it is taken over once, and
//! whole. What it answers then is in `versions/`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use whimbrel::model::{Change, Content, Epoch, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::storage::{Error, LocalLog, Log, LogOptions};

use crate::harness::program::Program;
use crate::harness::{LOG_OPTIONS, Setup, copy_folder};
use crate::server::process::kill_while_starting;
use crate::storage::versions::fixtures;

/// The number of events in the folder.
const EVENTS: u64 = 18;

/// What follows a takeover has an epoch, and an id that names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_folder_goes_on() {
    let server = Setup::new().start_on(Arc::new(old_folder())).await;
    let folder = server.folder();
    assert!(!folder.path().join("log.redb").exists(), "it is taken over");
    let post = server.user("alice").publishes("new").await;
    assert!(post.post_id.starts_with("p19") && post.post_id.len() == 9, "{}", post.post_id);
    // An old id beyond the log as it was: of a history that was lost.
    let ran = Program::calling(server.address()).run("like alice p19");
    ran.failed(1, "HISTORY_LOST");
}

/// Whatever interrupts a takeover, the next start has all events, once.
#[test]
fn an_interrupted_takeover_is_repeated() {
    // A part of the new log.
    let folder = old_folder();
    fs::create_dir(folder.path().join("log.new")).unwrap();
    fs::write(folder.path().join("log.new/0000000000000001.seg"), [1; 5_000]).unwrap();
    check_taken_over(folder.path(), EVENTS);

    // All of the new log, without its name.
    let (folder, other) = (old_folder(), old_folder());
    check_taken_over(other.path(), EVENTS);
    copy_folder(&other.path().join("log"), &folder.path().join("log.new"));
    check_taken_over(folder.path(), EVENTS);

    // Its name, and the old file is still there. Even after more was appended.
    for appended in [0, 3] {
        let folder = old_folder();
        let old = fs::read(folder.path().join("log.redb")).unwrap();
        check_taken_over(folder.path(), EVENTS);
        let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
        for _ in 0..appended {
            log.append(log.head(), vec![event("later")]).unwrap();
        }
        drop(log);
        fs::write(folder.path().join("log.redb"), old).unwrap();
        fs::write(folder.path().join("log.redb.compacted"), "half a copy").unwrap();
        check_taken_over(folder.path(), EVENTS + appended);
    }
}

/// The program is killed at random moments of its start on an old folder.
#[test]
fn a_killed_takeover_is_repeated() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..8 {
        let folder = old_folder();
        for _ in 0..3 {
            kill_while_starting(folder.path(), Duration::from_micros(random.u64(500..25_000)));
        }
        check_taken_over(folder.path(), EVENTS);
    }
}

/// Without room for the new log nothing is changed, and the error says how much is needed.
#[test]
fn without_room_nothing_is_taken_over() {
    let folder = old_folder();
    let options = LogOptions { disk_free_bytes_min: u64::MAX / 2, ..LOG_OPTIONS };
    let error = LocalLog::open(folder.path(), options).unwrap_err();
    let Error::NoRoomToTakeOver { bytes_needed, .. } = error else { panic!("{error}") };
    assert!(bytes_needed > u64::MAX / 2);
    assert!(error.to_string().contains(&bytes_needed.to_string()), "{error}");
    assert!(folder.path().join("log.redb").exists() && !folder.path().join("log").exists());
    check_taken_over(folder.path(), EVENTS);
}

/// An old file next to a log with other events is not removed, and neither is used.
#[test]
fn two_logs_are_refused() {
    let folder = old_folder();
    let old = fs::read(folder.path().join("log.redb")).unwrap();
    fs::remove_file(folder.path().join("log.redb")).unwrap();
    fs::remove_file(folder.path().join("index.redb")).unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    for _ in 0..30 {
        log.append(log.head(), vec![event("another log")]).unwrap();
    }
    drop(log);
    fs::write(folder.path().join("log.redb"), &old).unwrap();
    let error = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap_err();
    assert!(matches!(error, Error::TwoLogs { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("log.redb") && message.contains("move away"), "{message}");
    assert!(folder.path().join("log.redb").exists());
}

/// A damaged old file is refused with its name, and stays there.
#[test]
fn a_damaged_old_file_is_refused() {
    let folder = old_folder();
    let file = folder.path().join("log.redb");
    let whole = fs::read(&file).unwrap();
    let text = b"quoting alice";
    let at = whole.windows(text.len()).position(|part| part == text).unwrap();
    let mut damaged = whole;
    damaged[at] ^= 1;
    fs::write(&file, &damaged).unwrap();
    for _ in 0..2 {
        let error = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("log.redb"), "{error}");
        assert!(!folder.path().join("log").exists());
        assert!(file.exists());
    }
}

/// Checks that the log has the events of the old folder, and so many in all.
fn check_taken_over(folder: &Path, events: u64) {
    let log = LocalLog::open(folder, LOG_OPTIONS).unwrap();
    assert_eq!(log.head(), Revision::new(events));
    assert_eq!(log.read(Revision::ZERO, 100).unwrap().len() as u64, events);
    let post = log.get(Revision::new(6)).unwrap().unwrap();
    let Change::Publish { content, .. } = post.change else { panic!("{post:?}") };
    assert_eq!(content.text.as_str(), "quoting alice");
    let erased = log.get(Revision::new(9)).unwrap().unwrap();
    assert!(matches!(erased.change, Change::Erased { .. }), "{erased:?}");
    assert!(log.erased_until() >= Revision::new(10));
    assert_eq!(log.epochs().at(Revision::new(EVENTS)), Epoch::UNRECORDED);
    assert_ne!(log.epochs().at(Revision::new(events + 1)), Epoch::UNRECORDED);
    for left in ["log.redb", "log.redb.compacted", "log.new"] {
        assert!(!folder.join(left).exists(), "{left}");
    }
}

fn event(text: &str) -> Event {
    let content = Content::from_text(PostText::parse(text).unwrap());
    let author = UserId::parse("somebody").unwrap();
    Event::new(Timestamp::from_nanos(1), Change::Publish { author, content, request_id: None })
}

/// A copy of the folder that the last version with one file made.
fn old_folder() -> tempfile::TempDir {
    fixtures::unpack("log-2-index-3-blocks/stopped")
}
