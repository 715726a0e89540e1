//! Erasing posts of a damaged segment. The copy has what the segment had, or is not made: an erasure
//! never gives damage a right check.

use whimbrel::model::{Event, Revision};
use whimbrel::storage::{EraseOutcome, Erasure, Error, LocalLog, Log};

use super::written_log::{SMALL, Stop, WrittenLog};
use crate::harness::MemoryFolder;
use crate::storage::segment_layout::{Part, is_sealed, parts, revisions};

/// A byte in any part of a sealed segment is changed, and then all posts in it are erased.
#[test]
fn an_erasure_never_hides_damage() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 50);
    let mut random = fastrand::Rng::with_seed(51);
    let (mut postponed, mut done) = (0, 0);
    for (name, file) in log.files.iter().filter(|(_, file)| is_sealed(file)) {
        let parts = parts(name, file);
        for (at, &part) in parts.iter().enumerate() {
            let mut damaged = log.files.clone();
            damaged.get_mut(name).unwrap()[at] ^= 1 << random.u8(..8);
            let folder = MemoryFolder::holding(damaged.clone());
            // Refused logs are another test's.
            let Ok(opened) = LocalLog::with_folder(folder.clone(), log.options) else { continue };
            let in_opened = folder.files();
            let case = format!("byte {at} of {name}, {part:?}");
            let posts: Vec<_> = revisions(file).map(Revision::new).collect();
            let until = opened.head();
            match opened.erase(&Erasure { posts, until }, &|| true).unwrap() {
                EraseOutcome::Postponed(error) => {
                    assert!(matches!(error, Error::Damaged { .. }), "{case}: {error}");
                    assert!(error.to_string().contains(name.as_str()), "{case}: {error}");
                    assert!(folder.files() == in_opened, "{case}: a file has changed");
                    postponed += 1;
                }
                EraseOutcome::Done => {
                    let is_of_tables =
                        matches!(part, Part::RecordTable | Part::FrameTable | Part::Padding);
                    assert!(is_of_tables || part == Part::Foot, "{case}: was not noticed");
                    assert_erased(&log, &opened, file, &case);
                    done += 1;
                }
                EraseOutcome::Abandoned => panic!("{case}: nobody stopped it"),
            }
        }
    }
    assert!(postponed > 500 && done > 100, "{postponed} postponed, {done} done");
}

/// The events of the segment `file` are erased, and all others are as they were.
fn assert_erased(log: &WrittenLog, opened: &LocalLog, file: &[u8], case: &str) {
    let erased = revisions(file);
    let expected = |(revision, event): (u64, &Event)| match erased.contains(&revision) {
        true => event.clone().erased(),
        false => event.clone(),
    };
    let expected: Vec<_> = (1..).zip(&log.events).map(expected).collect();
    match opened.read(Revision::ZERO, usize::MAX) {
        Ok(entries) => {
            let events: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
            assert!(events == expected, "{case}");
        }
        // Nothing was erased in it, so it was not copied.
        Err(error) => {
            assert!(matches!(error, Error::Damaged { .. }), "{case}: {error}");
            assert!(expected == log.events, "{case}: {error}");
        }
    }
    let chain = opened.chain(opened.head());
    assert!(chain.is_err() || chain.unwrap() == log.chains.last().copied(), "{case}");
}
