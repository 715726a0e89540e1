//! Damage to a log that has one segment, or none: the first batch of a log, and a note of an erasure
//! alone in its segment.

use whimbrel::model::Revision;
use whimbrel::storage::{EraseOutcome, Erasure, Error, LocalLog, Log, LogOptions};

use super::written_log::{CHECKPOINT, Files, event, segment_names};
use crate::harness::MemoryFolder;
use crate::storage::segment_layout::{HEAD_BYTES, frames};

const OPTIONS: LogOptions = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 4096 };
const FIRST: &str = "0000000000000001.seg";

/// The only batch is damaged, of which the checkpoint knows: the log is refused and stays as it is,
/// at each start. It is not begun again.
#[test]
fn a_damaged_first_batch_that_was_durable_is_refused() {
    let log = closed_log(1);
    let frame = frames(&log[FIRST])[0].bytes.clone();
    for at in frame.start..frame.end - 8 {
        let mut damaged = log.clone();
        damaged.get_mut(FIRST).unwrap()[at] ^= 0x10;
        let folder = MemoryFolder::holding(damaged.clone());
        for _ in 0..2 {
            let error = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap_err();
            assert!(matches!(error, Error::EndsEarly { .. }), "byte {at}: {error}");
            assert!(folder.files() == damaged, "byte {at}: a refused log has changed");
        }
    }
}

/// A torn first batch is cut off. The log keeps its id, and goes on.
#[test]
fn a_torn_first_batch_is_cut_off_and_the_log_keeps_its_id() {
    let (log, empty) = (closed_log(1), closed_log(0));
    assert_eq!(empty[FIRST].len(), log[FIRST].len());
    let frame = frames(&log[FIRST])[0].bytes.clone();
    for end in frame.start + 1..frame.end - 8 {
        let mut torn = log.clone();
        torn.remove(CHECKPOINT);
        torn.get_mut(FIRST).unwrap()[end..].fill(0);
        let folder = MemoryFolder::holding(torn);
        let mut ids = Vec::new();
        for head in 0..4 {
            // Also after an opening that appends nothing.
            drop(LocalLog::with_folder(folder.clone(), OPTIONS).unwrap());
            let opened = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap();
            assert_eq!(opened.head().get(), head, "torn at {end}");
            assert_eq!(opened.read(Revision::ZERO, 10).unwrap().len() as u64, head);
            append(&opened, 1);
            ids.push(opened.id().get().to_le_bytes());
        }
        assert!(ids.iter().all(|id| log[FIRST][16..24] == *id), "torn at {end}");
    }
}

/// Any damage to the head of the only segment, also of a log without events.
#[test]
fn a_damaged_first_head_is_refused() {
    for (events, with_zeros) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut log = closed_log(events);
        if with_zeros {
            log.insert("0000000000000002.seg".to_owned(), vec![0; 4096]);
        }
        for at in 0..HEAD_BYTES {
            for with_checkpoint in [true, false] {
                let mut damaged = log.clone();
                damaged.get_mut(FIRST).unwrap()[at] ^= 1;
                if !with_checkpoint {
                    damaged.remove(CHECKPOINT);
                }
                is_refused(&damaged, "its head is damaged");
            }
        }
    }
}

/// A folder whose only segments are no segments of a log. A new log is never begun over them.
#[test]
fn a_folder_without_a_head_is_refused() {
    let zeros = vec![0; 4096];
    for content in [Vec::new(), b"hello".to_vec(), zeros, vec![0xff; 100_000]] {
        for names in [&[FIRST][..], &["0000000000000002.seg"], &[FIRST, "0000000000000002.seg"]] {
            let files = names.iter().map(|name| ((*name).to_owned(), content.clone()));
            is_refused(&files.collect(), names[0]);
        }
    }
}

/// The checkpoint shows that there was a log, also one without events.
#[test]
fn a_checkpoint_without_segments_is_refused() {
    for events in [0, 1] {
        let mut log = closed_log(events);
        log.remove(FIRST);
        is_refused(&log, FIRST);
    }
}

/// Only a folder without any file of a log has a new one, and one whose first start was interrupted.
#[test]
fn a_new_log_is_begun_where_there_was_none() {
    for (name, content) in [
        ("notes.txt", b"hello".to_vec()),
        ("0000000000000001.seg.new", b"half of a head".to_vec()),
        (CHECKPOINT, vec![0; 100]),
    ] {
        let files = Files::from([(name.to_owned(), content)]);
        let log = LocalLog::with_folder(MemoryFolder::holding(files), OPTIONS).unwrap();
        assert_eq!(log.head(), Revision::ZERO);
        append(&log, 1);
    }
}

/// A segment that begins with a note of an erasure, with a torn batch behind it: the log still knows
/// that the posts are erased.
#[test]
fn a_torn_batch_does_not_lose_the_note_of_an_erasure() {
    let folder = MemoryFolder::holding(closed_log(3));
    let log = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap();
    let posts = (1..=3).map(Revision::new).collect();
    let outcome = log.erase(&Erasure { posts, until: Revision::new(3) }, &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
    log.check().unwrap();
    let erased = folder.files();
    append(&log, 1);
    drop(log);
    let (appended, newest) = (folder.files(), segment_names(&erased).pop().unwrap());
    let frames = frames(&appended[&newest]);
    assert_eq!([frames[0].records.len(), frames[1].records.len()], [0, 1]);
    for end in frames[1].bytes.start..frames[1].bytes.end - 8 {
        let mut torn = erased.clone();
        let file = torn.get_mut(&newest).unwrap();
        file[..end].copy_from_slice(&appended[&newest][..end]);
        let folder = MemoryFolder::holding(torn);
        for head in 3..6 {
            let log = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap();
            assert_eq!((log.head().get(), log.erased_until().get()), (head, 3), "torn at {end}");
            assert_eq!(log.read(Revision::ZERO, 10).unwrap().len() as u64, head);
            append(&log, 1);
        }
    }
}

/// The newest segment with events is sealed, and the one after it has only the note of an erasure. A
/// byte in either is changed: nothing is missing.
#[test]
fn damage_behind_an_erasure_of_everything_is_harmless_or_found() {
    let folder = MemoryFolder::holding(closed_log(3));
    let log = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap();
    let posts = (1..=3).map(Revision::new).collect();
    let outcome = log.erase(&Erasure { posts, until: Revision::new(3) }, &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
    let expected = log.read(Revision::ZERO, 10).unwrap();
    drop(log);
    let (files, mut refused, mut right) = (folder.files(), 0, 0);
    for name in segment_names(&files) {
        for at in 0..files[&name].len() {
            let mut damaged = files.clone();
            damaged.get_mut(&name).unwrap()[at] ^= 4;
            let folder = MemoryFolder::holding(damaged.clone());
            match LocalLog::with_folder(folder.clone(), OPTIONS) {
                Err(error) => {
                    assert!(matches!(error, Error::Damaged { .. } | Error::EndsEarly { .. }));
                    assert!(folder.files() == damaged, "byte {at} of {name}");
                    refused += 1;
                }
                Ok(log) => {
                    // The opening has read the only batch for the checkpoint.
                    let entries = log.read(Revision::ZERO, 10).unwrap();
                    assert_eq!(entries, expected, "byte {at} of {name}");
                    assert!(log.erased_until().get() <= 3);
                    append(&log, 1);
                    right += 1;
                }
            }
        }
    }
    assert!(refused > 100 && right > 100, "{refused} refused, {right} right");
}

/// The files of a closed log with so many events, in one segment.
fn closed_log(events: u64) -> Files {
    let folder = MemoryFolder::default();
    let log = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap();
    if events > 0 {
        append(&log, events);
    }
    drop(log);
    folder.files()
}

fn append(log: &LocalLog, events: u64) {
    let (head, mut random) = (log.head(), fastrand::Rng::with_seed(1));
    let numbers = head.get() + 1..=head.get() + events;
    log.append(head, numbers.map(|number| event(number, &mut random)).collect()).unwrap();
}

/// The files are refused with these words, and stay as they are.
fn is_refused(files: &Files, words: &str) {
    let folder = MemoryFolder::holding(files.clone());
    let error = LocalLog::with_folder(folder.clone(), OPTIONS).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert!(folder.files() == *files, "a refused log has changed");
}
