//! Whole files of a log: exchanged, older, removed, added, or with other content.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::model::Revision;
use whimbrel::storage::{Error, LocalLog, Log};

use super::verdict::{Case, Totals, Verdict};
use super::written_log::{CHECKPOINT, Files, SMALL, Stop, WrittenLog, event, segment_names};
use crate::harness::MemoryFolder;
use crate::storage::segment_layout::{
    HEAD_BYTES, events, frames, is_sealed, revisions, set_format,
};

const STOPS: [Stop; 2] = [Stop::Closed, Stop::Unclean];

/// The segment of zeros that these tests add is what a log makes.
#[test]
fn a_prepared_segment_is_of_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let options = WrittenLog::new(Stop::Closed, SMALL, 7).options;
    let log = LocalLog::open(folder.path(), options).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for number in 1..=20 {
        log.append(Revision::new(number - 1), vec![event(number, &mut random)]).unwrap();
    }
    drop(log);
    let names = std::fs::read_dir(folder.path().join("log")).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    };
    let files: Files = names.map(read).collect();
    let [.., active, prepared] = &segment_names(&files)[..] else { panic!("it has two segments") };
    assert!(events(&files[active]) > 0);
    assert!(files[prepared] == vec![0; options.segment_bytes_max as usize]);
}

/// Two segments that exchanged their names, the one of zeros too, are found by the numbers in their
/// heads.
#[test]
fn exchanged_segments_are_refused() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 8)) {
        let mut names = log.segments();
        names.push(log.prepared());
        let mut exchanges = 0;
        for (index, one) in names.iter().enumerate() {
            for other in &names[index + 1..] {
                let mut damaged = log.files.clone();
                damaged.insert(one.clone(), log.files[other].clone());
                damaged.insert(other.clone(), log.files[one].clone());
                let case = Case::new(format!("{one} and {other} exchanged"));
                assert_eq!(log.verdict_with_index(&damaged, &case), Verdict::Refused);
                if other != names.last().unwrap() {
                    assert!(refusal(&log, damaged).contains("under another name"));
                }
                exchanges += 1;
            }
        }
        assert_eq!(exchanges, 10);
    }
}

/// An older copy of a file is served if it has all events: from before the segment was sealed, or
/// before posts in it were erased. Then those posts have their contents again, and the chain is the
/// same. A copy that lacks events is refused.
#[test]
fn an_older_copy_of_a_file_is_read_right_or_refused() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 9)) {
        let mut totals = Totals::default();
        let older = |(name, copy): &(String, Vec<u8>)| log.files.get(name) != Some(copy);
        let copies: BTreeSet<(String, Vec<u8>)> =
            log.earlier.iter().flat_map(|files| files.clone()).filter(older).collect();
        for (name, copy) in copies {
            let mut damaged = log.files.clone();
            let now = damaged.insert(name.clone(), copy.clone()).unwrap();
            let kind = match name.as_str() {
                CHECKPOINT => "the checkpoint",
                _ if events(&copy) < events(&now) => "from before an append",
                _ if salt(&copy) != salt(&now) && is_sealed(&copy) => "from before an erasure",
                _ if salt(&copy) != salt(&now) => "from before an erasure, not sealed",
                _ => "from before it was sealed",
            };
            let damage = format!("an older copy of {name}, {kind}");
            let case = Case { may_have_originals: true, ..Case::new(damage) };
            totals.add(kind, log.verdict_with_index(&damaged, &case));
        }
        totals.print("older copies");
        assert_eq!(totals.all(Verdict::Unreadable) + totals.all(Verdict::Cut), 0, "{totals:?}");
        assert_eq!(
            totals.all(Verdict::Refused),
            totals.count("from before an append", Verdict::Refused)
        );
        assert!(totals.all(Verdict::Refused) > 5, "{totals:?}");
        for kind in [
            "the checkpoint",
            "from before an erasure",
            "from before an erasure, not sealed",
            "from before it was sealed",
        ] {
            assert!(totals.count(kind, Verdict::Right) > 0, "{kind}: {totals:?}");
        }
    }
}

/// Contents that were erased are there again with an older copy, and only those.
#[test]
fn an_older_copy_has_the_contents_that_were_erased() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 9);
    let name = &log.segments()[0];
    let is_erased = |files: &&Files| files.get(name).is_some_and(|copy| is_sealed(copy));
    let copy = log.earlier.iter().find(is_erased).unwrap()[name].clone();
    let count = events(&copy);
    let mut files = log.files.clone();
    files.insert(name.clone(), copy);
    let opened = LocalLog::with_folder(MemoryFolder::holding(files), log.options).unwrap();
    let entries = opened.read(Revision::ZERO, usize::MAX).unwrap();
    let read: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
    assert_eq!(read[..count], log.originals[..count]);
    assert_ne!(read[..count], log.events[..count]);
    assert_eq!(read[count..], log.events[count..]);
}

/// A removed segment is missed by the one after it, or by the checkpoint. No log takes the place of
/// one that lost its segments. A removed checkpoint is written again.
#[test]
fn a_removed_file_is_missed() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 10)) {
        let removed = |names: &[&str]| {
            let mut damaged = log.files.clone();
            damaged.retain(|name, _| !names.contains(&name.as_str()));
            let case = Case::new(format!("without {names:?}"));
            log.verdict_with_index(&damaged, &case)
        };
        let (segments, prepared) = (log.segments(), log.prepared());
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        for (index, name) in segments.iter().enumerate() {
            assert_eq!(removed(&[name]), Verdict::Refused);
            if let Some(after) = segments.get(index + 1) {
                let mut damaged = log.files.clone();
                damaged.remove(*name);
                let (refusal, missing) = (refusal(&log, damaged), revisions(&log.files[*name]));
                let words = format!("revision {} is missing", missing.start);
                assert!(refusal.contains(&words) && refusal.contains(after), "{refusal}");
            }
            assert_eq!(removed(&[name, &prepared]), Verdict::Refused);
        }
        for name in [&prepared, CHECKPOINT] {
            assert_eq!(removed(&[name]), Verdict::Right);
        }
        for first in 0..segments.len() {
            assert_eq!(removed(&segments[first..]), Verdict::Refused);
        }
        assert_eq!(removed(&[&segments[..], &[&prepared]].concat()), Verdict::Refused);
        // Without the checkpoint, too, what is left shows that there was a log.
        assert_eq!(removed(&[&segments[..], &[CHECKPOINT]].concat()), Verdict::Refused);
        for name in &segments[..segments.len() - 1] {
            assert_eq!(removed(&[name, CHECKPOINT]), Verdict::Refused);
        }
    }
}

/// An older copy of the whole folder is an older log. Only the index knows better.
#[test]
fn the_index_knows_that_all_files_are_older() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 18)) {
        let mut cuts = 0;
        for earlier in &log.earlier {
            let head: usize =
                segment_names(earlier).iter().map(|name| events(&earlier[name])).sum();
            if (1..log.events.len()).contains(&head) {
                let damage = format!("all files are as they were at revision {head}");
                let case = Case { may_have_originals: true, ..Case::new(damage) };
                let case = Case { cuts: vec![head as u64], ..case };
                assert_eq!(log.verdict_with_index(earlier, &case), Verdict::Cut);
                cuts += 1;
            }
        }
        assert!(cuts > 5, "{cuts}");
    }
}

/// A refusal names a file to remove, if the older copy is there on purpose. Without it the log opens
/// with what is left.
#[test]
fn a_log_that_ends_early_opens_without_the_file_that_its_refusal_names() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 19);
    let active = log.active();
    let mut damaged = log.files.clone();
    let last = frames(&damaged[&active]).pop().unwrap();
    damaged.get_mut(&active).unwrap()[last.bytes].fill(0);
    let folder = MemoryFolder::holding(damaged.clone());
    let error = LocalLog::with_folder(folder, log.options).unwrap_err();
    let Error::EndsEarly { head, durable_until, ref file } = error else { panic!("{error}") };
    assert_eq!((head.get(), durable_until.get()), (log.before_last_batch, log.head()));
    assert!(file.ends_with(CHECKPOINT) && error.to_string().contains("remove that file"));
    damaged.remove(CHECKPOINT);
    let cuts = vec![log.before_last_batch];
    let case = Case { cuts, ..Case::new("without the last batch and the checkpoint") };
    assert_eq!(log.verdict_with_index(&damaged, &case), Verdict::Cut);
}

/// Without the newest segment and without the checkpoint the log is a shorter one. Only the index
/// knows better.
#[test]
fn the_index_misses_a_segment_that_was_removed_with_the_checkpoint() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 11)) {
        let active = log.active();
        let mut damaged = log.files.clone();
        damaged.retain(|name, _| *name != active && name != CHECKPOINT);
        let cuts = vec![frames(&log.files[&active])[0].first - 1];
        let case = Case { cuts, ..Case::new("without the newest segment and the checkpoint") };
        assert_eq!(log.verdict_with_index(&damaged, &case), Verdict::Cut);
    }
}

/// Content that is no segment, in the place of each file and under other names. It is refused where
/// events should be, and harmless elsewhere.
#[test]
fn a_file_of_garbage_is_harmless_or_refused() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 12)) {
        let mut totals = Totals::default();
        let is_written = |name: &String| log.segments().contains(name);
        let added = [
            "0000000000000006.seg",
            "0000000000009000.seg",
            "0000000000000000.seg",
            "0000000000000002.seg.new",
            "0000000000000007.seg.new",
            "2.seg",
            "notes.txt",
        ];
        let names = log.files.keys().cloned().chain(added.map(str::to_owned));
        for name in names {
            for (what, content) in garbage(&log.files) {
                let mut damaged = log.files.clone();
                damaged.insert(name.clone(), content);
                let case = Case::new(format!("{name} is {what}"));
                let verdict = log.verdict_with_index(&damaged, &case);
                let expected = if is_written(&name) { Verdict::Refused } else { Verdict::Right };
                assert_eq!(verdict, expected, "{name} is {what}");
                totals.add(&name, verdict);
            }
        }
        totals.print("garbage");
    }
}

/// No segment has the greatest numbers: the names of the next ones would have no room.
#[test]
fn a_segment_with_an_impossible_number_is_refused() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 13);
    for name in ["9999999999999999.seg", "18446744073709551614.seg", "18446744073709551615.seg"] {
        for (what, content) in garbage(&log.files) {
            let mut damaged = log.files.clone();
            damaged.insert(name.to_owned(), content);
            let case = Case::new(format!("{name} is {what}"));
            assert_eq!(log.verdict(&damaged, &case), Verdict::Refused);
            assert!(refusal(&log, damaged).contains(name));
        }
    }
}

/// A file that is not the log's is left as it is.
#[test]
fn a_file_that_is_not_the_logs_is_left_alone() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 14);
    for name in ["notes.txt", "2.seg", "0000000000000002.seg.old", "checkpoint.new"] {
        let mut files = log.files.clone();
        files.insert(name.to_owned(), b"hello".to_vec());
        let folder = MemoryFolder::holding(files);
        drop(LocalLog::with_folder(folder.clone(), log.options).unwrap());
        assert_eq!(folder.files()[name], b"hello");
    }
}

/// A copy of a segment under a number of its own.
#[test]
fn a_second_copy_of_a_segment_is_refused() {
    let log = WrittenLog::new(Stop::Closed, SMALL, 15);
    for name in log.segments() {
        let mut damaged = log.files.clone();
        damaged.insert("0000000000000009.seg".to_owned(), log.files[&name].clone());
        let case = Case::new(format!("a copy of {name} as number 9"));
        assert_eq!(log.verdict(&damaged, &case), Verdict::Refused);
        assert!(refusal(&log, damaged).contains("0000000000000009.seg"));
    }
}

/// A head of another format, with a right check, in any segment.
#[test]
fn a_segment_of_another_format_is_refused() {
    for log in STOPS.map(|stop| WrittenLog::new(stop, SMALL, 16)) {
        for name in log.segments() {
            for format in [0, 1, 2, 4, u32::MAX] {
                let mut damaged = log.files.clone();
                set_format(damaged.get_mut(&name).unwrap(), format);
                let case = Case::new(format!("{name} has format {format}"));
                assert_eq!(log.verdict(&damaged, &case), Verdict::Refused);
                let folder = MemoryFolder::holding(damaged);
                let error = LocalLog::with_folder(folder, log.options).unwrap_err();
                let Error::OtherFormat { file, other } = &error else { panic!("{error}") };
                assert_eq!(other.found, Some(u64::from(format)));
                assert!(file.ends_with(&name), "{error}");
            }
        }
    }
}

/// What may be in a file that is no segment.
fn garbage(files: &Files) -> BTreeMap<&'static str, Vec<u8>> {
    let mut random = vec![0; 3000];
    fastrand::Rng::with_seed(17).fill(&mut random);
    // A head that fails its check, before zeros.
    let mut head = vec![0; 1280];
    head[..HEAD_BYTES].copy_from_slice(&files.values().next().unwrap()[..HEAD_BYTES]);
    head[HEAD_BYTES - 1] ^= 1;
    BTreeMap::from([
        ("empty", Vec::new()),
        ("a word", b"hello".to_vec()),
        ("zeros", vec![0; 4096]),
        ("less than a head of zeros", vec![0; 100]),
        ("all ones", vec![0xff; 100_000]),
        ("random", random),
        ("a damaged head", head),
    ])
}

/// The message of a refused opening.
fn refusal(log: &WrittenLog, files: Files) -> String {
    let opened = LocalLog::with_folder(MemoryFolder::holding(files), log.options);
    opened.expect_err("it is refused").to_string()
}

fn salt(segment: &[u8]) -> Option<&[u8]> {
    segment.get(40..48)
}
