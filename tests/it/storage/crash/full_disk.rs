//! A full disk refuses appends and erasures, and does no harm. Never lets an operation fail: that the
//! disk turns out to be full while a segment is made ready is among the faults.

use whimbrel::model::Revision;
use whimbrel::storage::{EraseOutcome, Error, LocalLog, Log, LogOptions};

use crate::storage::fragile_folder::FragileFolder;
use crate::storage::log_history::{Acknowledged, History, OPTIONS, erasure};

const RESERVE: u64 = 1 << 20;

/// Below the reserve nothing is written. Once there is room, all is as before.
#[test]
fn below_the_reserve_an_append_is_refused() {
    let (folder, log, mut history) = new_log();
    history.append(&log, 3).unwrap();
    folder.set_bytes_free(Some(RESERVE - 1));
    is_refused(&folder, &log, &mut history, 1);
    let outcome = log.erase(&erasure(0, 3), &|| true).unwrap();
    let EraseOutcome::Postponed(reason) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(reason, Error::NoRoomForCopy { .. }), "{reason}");

    folder.set_bytes_free(None);
    history.append(&log, 2).unwrap();
    assert!(matches!(history.erase(&log, 0, 3).unwrap(), EraseOutcome::Done));
    folder.erased(3);
    drop(log);
    finds_all(&folder, &history);
}

/// A batch that needs another segment is refused without room for one, and one that fits is not.
#[test]
fn without_room_for_a_segment_only_what_needs_one_is_refused() {
    let (folder, log, mut history) = new_log();
    folder.set_bytes_free(Some(RESERVE));
    let mut appended = 0;
    while log.head().get() == appended {
        appended += 1;
        let segments = folder.names().len();
        if history.append(&log, 1).is_err() {
            history.take_back();
            break;
        }
        assert_eq!(folder.names().len(), segments);
    }
    assert!(appended > 5, "the first segment has room for {appended} posts");
    is_refused(&folder, &log, &mut history, 50);
    is_refused(&folder, &log, &mut history, 1);

    folder.set_bytes_free(Some(RESERVE + (1 << 20)));
    history.append(&log, 50).unwrap();
    history.append(&log, 1).unwrap();
    drop(log);
    finds_all(&folder, &history);
}

fn new_log() -> (FragileFolder, LocalLog, History) {
    let folder = FragileFolder::default();
    let log = open(&folder);
    let history = History::of_new(&log, 1);
    (folder, log, history)
}

fn open(folder: &FragileFolder) -> LocalLog {
    let options = LogOptions { disk_free_bytes_min: RESERVE, ..OPTIONS };
    LocalLog::with_folder(folder.clone(), options).unwrap()
}

/// An append is refused, and nothing is written.
fn is_refused(folder: &FragileFolder, log: &LocalLog, history: &mut History, events: u64) {
    let (ops, head) = (folder.ops(), log.head());
    let error = history.append(log, events).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    history.take_back();
    assert_eq!((folder.ops(), log.head()), (ops, head));
    assert_eq!(log.get(Revision::new(head.get() + 1)).unwrap(), None);
}

fn finds_all(folder: &FragileFolder, history: &History) {
    let mut random = fastrand::Rng::with_seed(1);
    let acknowledged =
        Acknowledged { events: history.len(), erased_until: folder.erased_by(folder.ops()) };
    let log = open(&folder.cut(folder.ops(), &mut random));
    history.found(&log, acknowledged, &mut random);
}
