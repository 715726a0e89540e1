//! Segments of another log, and of another copy of the same log that went on by itself.

use whimbrel::model::Revision;
use whimbrel::storage::{Error, LocalLog, Log};

use super::verdict::{Case, Verdict};
use super::written_log::{CHECKPOINT, Files, SMALL, Stop, WrittenLog, event, open_index};
use crate::harness::{Disk, MemoryFolder};
use crate::storage::segment_layout::events;

const STOPS: [Stop; 2] = [Stop::Closed, Stop::Unclean];

/// One segment of another log, several, or its checkpoint.
#[test]
fn files_of_another_log_are_refused() {
    for stop in STOPS {
        let (log, other) = (WrittenLog::new(stop, SMALL, 20), WrittenLog::new(stop, SMALL, 20));
        assert_ne!(log.id, other.id);
        let names: Vec<_> = log.segments().into_iter().chain([CHECKPOINT.to_owned()]).collect();
        for taken in 1..1_u32 << names.len() {
            let is_taken = |index: usize| taken >> index & 1 == 1;
            if (0..names.len()).all(is_taken) {
                // All of them are the other log.
                continue;
            }
            let mut damaged = log.files.clone();
            for (index, name) in names.iter().enumerate().filter(|(index, _)| is_taken(*index)) {
                assert!(index < names.len());
                damaged.insert(name.clone(), other.files[name].clone());
            }
            let case = Case::new(format!("files {taken:#b} are of another log"));
            assert_eq!(log.verdict(&damaged, &case), Verdict::Refused);
            let folder = MemoryFolder::holding(damaged);
            let error = LocalLog::with_folder(folder, log.options).unwrap_err().to_string();
            assert!(error.contains("belongs to another log"), "{error}");
        }
    }
}

/// An additional segment of another log after the newest.
#[test]
fn a_segment_of_another_log_after_the_newest_is_refused() {
    let (log, other) =
        (WrittenLog::new(Stop::Closed, SMALL, 21), WrittenLog::new(Stop::Closed, SMALL, 22));
    let mut damaged = log.files.clone();
    // It has the number of the segment of zeros.
    let more = more_segments(&other, 40);
    damaged.insert(log.prepared(), more[&log.prepared()].clone());
    let case = Case::new("a fifth segment of another log");
    assert_eq!(log.verdict_with_index(&damaged, &case), Verdict::Refused);
}

/// A copy of a log went on by itself, so its new segments have the same log id, numbers and
/// revisions. They are refused in the log that went on otherwise, and so is its checkpoint.
#[test]
fn segments_of_a_copy_that_went_on_are_refused() {
    for stop in STOPS {
        let log = WrittenLog::new(stop, SMALL, 23);
        let (one, other) = (more_segments(&log, 31), more_segments(&log, 32));
        let differ = |name: &&String| one.get(*name) != other.get(*name);
        let names: Vec<_> = one.keys().filter(differ).collect();
        assert!(names.len() >= 4, "{names:?}");
        let mut refused = 0;
        for taken in 1..(1_u32 << names.len()) - 1 {
            let mut mixed = one.clone();
            for (index, &name) in names.iter().enumerate() {
                if taken >> index & 1 == 1 {
                    match other.get(name) {
                        Some(file) => mixed.insert(name.clone(), file.clone()),
                        None => mixed.remove(name),
                    };
                }
            }
            let same_events = |of: &Files| segments_of(&mixed) == segments_of(of);
            if same_events(&one) || same_events(&other) {
                continue;
            }
            let folder = MemoryFolder::holding(mixed.clone());
            let error = LocalLog::with_folder(folder.clone(), log.options).unwrap_err();
            assert!(
                matches!(error, Error::Damaged { .. } | Error::EndsEarly { .. }),
                "files {taken:#b}: {error}"
            );
            assert!(folder.files() == mixed, "a refused log has changed");
            refused += 1;
        }
        assert!(refused > 5);
    }
}

/// The checkpoint and the index of one copy with the segments of the other.
#[test]
fn the_checkpoint_and_the_index_know_which_copy_is_theirs() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 24);
    let (one, other) = (more_segments(&log, 33), more_segments(&log, 34));
    let mut mixed = one.clone();
    mixed.insert(CHECKPOINT.to_owned(), other[CHECKPOINT].clone());
    let folder = MemoryFolder::holding(mixed);
    let error = LocalLog::with_folder(folder, log.options).unwrap_err().to_string();
    assert!(error.contains("checkpoint") && error.contains("other events"), "{error}");

    let opened = |files: &Files| {
        LocalLog::with_folder(MemoryFolder::holding(files.clone()), log.options).unwrap()
    };
    let disk = Disk::default();
    let indexed = opened(&one);
    let index = open_index(&disk, &indexed).unwrap();
    let chain = indexed.chain(indexed.head()).unwrap().unwrap();
    index.write(&index.new_rows(), indexed.head(), chain).unwrap();
    drop(index);
    let complete_until = |files: &Files| {
        let index = open_index(&Disk::holding(disk.bytes()), &opened(files)).unwrap();
        index.complete_until()
    };
    assert_eq!(complete_until(&one), indexed.head());
    assert_eq!(complete_until(&other), Revision::ZERO, "the index of the other copy is rebuilt");
}

/// The files of a copy of `log` after so many more events, the same number for every seed.
fn more_segments(log: &WrittenLog, seed: u64) -> Files {
    let folder = MemoryFolder::holding(log.files.clone());
    let opened = LocalLog::with_folder(folder.clone(), log.options).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..24 {
        let head = opened.head();
        opened.append(head, vec![event(head.next().get(), &mut random)]).unwrap();
    }
    opened.close();
    drop(opened);
    let mut files = folder.files();
    files.retain(|name, file| name == CHECKPOINT || events(file) > 0);
    files
}

/// The files that have events.
fn segments_of(files: &Files) -> Vec<(&String, &Vec<u8>)> {
    files.iter().filter(|(name, _)| *name != CHECKPOINT).collect()
}
