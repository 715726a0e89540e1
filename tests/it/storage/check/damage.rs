//! Every kind of damage to a log is found, and named: also what an opening does not look at.

use std::fs;
use std::path::{Path, PathBuf};

use whimbrel::model::Revision;
use whimbrel::storage::{Error, LocalLog, Log, check_log};

use super::{SMALL, fill, post, segments, verified, written};

/// The place of the end of the frames in a foot, and of the foot from the end of a segment.
const FRAMES_END_AT: usize = 32;
const FOOT_BYTES: usize = 96;
const HEAD_BYTES: usize = 128;

/// The file that an error names, a part of the error, and the damage to the segments.
type DamageCase<'a> = (&'a str, &'a str, &'a dyn Fn(&[PathBuf]));

/// A changed bit in any byte of a sealed segment is found, wherever it is: in a head, a record, a
/// frame, the zeros between two frames, a table or the foot. The error names the file, and where it is.
#[test]
fn a_changed_bit_in_a_sealed_segment_is_found() {
    let folder = written();
    let files = segments(folder.path());
    let file = &files[1];
    let bytes = fs::read(file).unwrap();
    let frames_end = frames_end(&bytes);
    let mut opened = 0;
    let mut flipped = 0;
    // All of the head, of a frame and of the tables, and a part of the rest.
    let places = (0..bytes.len()).filter(|at| {
        let is_dense = *at < HEAD_BYTES + 100 || *at >= bytes.len() - FOOT_BYTES;
        is_dense || at % if *at < frames_end { 29 } else { 5 } == 0
    });
    for at in places {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(file, changed).unwrap();
        let what = damage(folder.path(), file);
        let is_named = ["byte", "revision", "head"].iter().any(|word| what.contains(word));
        assert!(is_named, "byte {at}: {what}");
        flipped += 1;
        if flipped % 40 == 0 {
            let opens = LocalLog::open(folder.path(), SMALL);
            opened += usize::from(opens.is_ok());
        }
    }
    assert!(flipped > 800, "{flipped} places");
    assert!(opened > 10, "an opening does not see {opened} of them");
}

/// So is one in the segment that is written to. In its last frame it looks like a batch that was not
/// complete, and the checkpoint shows that it was.
#[test]
fn a_changed_bit_in_the_newest_segment_is_found() {
    let folder = written();
    let file = newest_begun(folder.path());
    let bytes = fs::read(&file).unwrap();
    let end = 1 + bytes.iter().rposition(|&byte| byte != 0).unwrap();
    let mut early = 0;
    for at in (0..end).step_by(23) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&file, changed).unwrap();
        match check_log(folder.path(), &mut |_| {}).unwrap_err() {
            Error::EndsEarly { .. } => early += 1,
            Error::Damaged { file: named, .. } => assert_eq!(named, file),
            error => panic!("{error}"),
        }
    }
    assert!(early > 1, "{early} in the last frame");
}

/// A record with right checks that is no event, as a fault of a program leaves it. The log opens.
#[test]
fn a_record_that_is_no_event_is_found() {
    let folder = written();
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    log.append(log.head(), vec![post("the last")]).unwrap();
    drop(log);
    let file = newest_begun(folder.path());
    let mut bytes = fs::read(&file).unwrap();
    let frame = bytes.windows(4).rposition(|magic| magic == b"WFRM").unwrap();
    make_undecodable(&mut bytes, frame, 262);
    fs::write(&file, bytes).unwrap();
    // It knows the chain.
    fs::remove_file(checkpoint(folder.path())).unwrap();
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    assert_eq!(log.head().get(), 262);
    log.get(log.head()).unwrap_err();
    drop(log);
    assert!(damage(folder.path(), &file).contains("the record of revision 262"));
}

/// Makes the first byte after the head of a record one that begins no field, and sets the checks of the
/// record and of its frame. The frame is at `frame`, and has this record alone.
fn make_undecodable(bytes: &mut [u8], frame: usize, revision: u64) {
    let crc = |parts: &[&[u8]]| {
        let mut crc = crc32fast::Hasher::new();
        parts.iter().for_each(|part| crc.update(part));
        crc.finalize().to_le_bytes()
    };
    let payload_bytes = u32::from_le_bytes(*bytes[frame + 8..].first_chunk().unwrap());
    let salt: [u8; 8] = *bytes[frame + 16..].first_chunk().unwrap();
    let offset = (frame as u64).to_le_bytes();
    let (head, rest) = bytes[frame..].split_at_mut(88);
    let payload = &mut rest[..payload_bytes as usize];
    payload[13] = 0xff;
    let check = crc(&[&salt, &revision.to_le_bytes(), &payload[4..]]);
    payload[..4].copy_from_slice(&check);
    head[68..72].copy_from_slice(&crc(&[&salt, &offset, payload]));
    let check = crc(&[&salt, &offset, &head[..84]]);
    head[84..].copy_from_slice(&check);
}

/// Files that are missing, cut, exchanged, or of another log.
#[test]
fn a_log_of_other_files_is_refused() {
    let other = written();
    let cases: [DamageCase<'_>; 10] = [
        ("0000000000000003.seg", "revision", &|files| fs::remove_file(&files[1]).unwrap()),
        ("0000000000000002.seg", "revision 1 is missing", &|files| {
            fs::remove_file(&files[0]).unwrap();
        }),
        ("0000000000000002.seg", "segment 3 under another name", &|files| {
            fs::copy(&files[2], &files[1]).map(drop).unwrap();
        }),
        ("0000000000000002.seg", "belongs to another log", &|files| {
            fs::copy(&segments(other.path())[1], &files[1]).map(drop).unwrap();
        }),
        ("0000000000000002.seg", "it ends at byte", &|files| cut(&files[1], |end| end - 3_000)),
        ("0000000000000002.seg", "shorter than it was", &|files| cut(&files[1], |end| end - 1)),
        ("0000000000000002.seg", "nor its tables", &|files| append(&files[1], b"more")),
        ("0000000000000002.seg", "its head is damaged", &|files| zero_head(&files[1])),
        ("9000000000000000.seg", "so great a number", &|files| {
            fs::write(files[1].with_file_name("9000000000000000.seg"), []).unwrap();
        }),
        ("0000000000000003.seg", "is missing", &|files| {
            fs::write(&files[1], [0; 5_000]).unwrap();
        }),
    ];
    for (named, why, alter) in cases {
        let folder = written();
        alter(&segments(folder.path()));
        let what = damage(folder.path(), &folder.path().join("log").join(named));
        assert!(what.contains(why), "{why:?} is not in {what:?}");
    }
}

/// All segments are gone, and the checkpoint shows that there was a log.
#[test]
fn a_log_without_a_segment_is_refused() {
    let folder = written();
    segments(folder.path()).iter().for_each(|file| fs::remove_file(file).unwrap());
    let error = check_log(folder.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

/// The newest segments are gone, or hold zeros: the checkpoint says how long the log was.
#[test]
fn a_lost_end_is_found() {
    for is_removed in [true, false] {
        let folder = written();
        let file = newest_begun(folder.path());
        match is_removed {
            true => fs::remove_file(&file).unwrap(),
            false => fs::write(&file, [0; 5_000]).unwrap(),
        }
        let error = check_log(folder.path(), &mut |_| {}).unwrap_err();
        let Error::EndsEarly { durable_until, file, .. } = &error else { panic!("{error}") };
        assert_eq!((*durable_until, file), (Revision::new(261), &checkpoint(folder.path())));
    }
}

/// A checkpoint of another log, of other events, or without a whole position. One position that is
/// torn is none: a power cut may have come while it was written.
#[test]
fn a_damaged_checkpoint_is_found() {
    let (folder, other) = (written(), written());
    let file = checkpoint(folder.path());
    let whole = fs::read(&file).unwrap();
    fs::copy(checkpoint(other.path()), &file).unwrap();
    assert!(damage(folder.path(), &file).contains("belongs to another log"));

    fs::write(&file, &whole).unwrap();
    let slots = [0, 4096].map(|at| whole[at..at + 8] != [0; 8]);
    assert_eq!(slots, [true; 2], "both are written");
    for torn in [&[30][..], &[4126]] {
        fs::write(&file, with_zeros(&whole, torn)).unwrap();
        verified(folder.path());
    }
    fs::write(&file, with_zeros(&whole, &[30, 4126])).unwrap();
    assert!(damage(folder.path(), &file).contains("none of its positions is whole"));
    fs::remove_file(&file).unwrap();
    verified(folder.path());

    // The same log with another last event.
    fs::write(&file, &whole).unwrap();
    let copy = tempfile::tempdir().unwrap();
    crate::harness::copy_folder(&folder.path().join("log"), &copy.path().join("log"));
    for (dir, text) in [(&folder, "one"), (&copy, "other")] {
        let log = LocalLog::open(dir.path(), SMALL).unwrap();
        log.append(log.head(), vec![post(text)]).unwrap();
    }
    fs::copy(checkpoint(copy.path()), &file).unwrap();
    assert!(damage(folder.path(), &file).contains("of other events up to revision 262"));
}

/// What a power cut leaves is no damage: a batch that is not complete, a segment with a part of its
/// first batch, and full segments without tables, or with a part of them.
#[test]
fn an_end_that_was_never_acknowledged_is_no_damage() {
    let folder = written();
    let before = verified(folder.path());
    let newest = newest_begun(folder.path());
    let bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() / 8 * 8 + 8;
    let mut torn = bytes.clone();
    torn[end..end + 50].fill(7);
    fs::write(&newest, torn).unwrap();
    let verified_torn = verified(folder.path());
    assert_eq!((verified_torn.head, verified_torn.torn_bytes), (before.head, 50));
    fs::write(&newest, bytes).unwrap();

    let next = segments(folder.path()).pop().unwrap();
    assert_ne!(next, newest, "one is prepared");
    let prepared = fs::read(&next).unwrap();
    let mut torn = prepared.clone();
    torn[..40].fill(7);
    fs::write(&next, torn).unwrap();
    assert_eq!(verified(folder.path()).torn_bytes, 40);
    fs::write(&next, prepared).unwrap();

    let files = segments(folder.path());
    for kept in [0, 100, usize::MAX] {
        for file in &files[..3] {
            let sealed = fs::read(file).unwrap();
            let kept = sealed.len().min(frames_end(&sealed).saturating_add(kept));
            let mut full = sealed[..kept].to_vec();
            full.resize(20_000, 0);
            fs::write(file, full).unwrap();
            let verified = verified(folder.path());
            assert_eq!((verified.chain, verified.torn_bytes), (before.chain, 0));
            fs::write(file, sealed).unwrap();
        }
    }

    // And the next opening goes on.
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    assert_eq!(log.chain(log.head()).unwrap(), Some(before.chain));
    fill(&log, 10);
    assert_eq!(verified(folder.path()).head, log.head());
}

/// The damage that is found in the folder, which must be named with `file`.
#[track_caller]
fn damage(dir: &Path, file: &Path) -> String {
    match check_log(dir, &mut |_| {}) {
        Err(Error::Damaged { file: named, what }) => {
            assert_eq!(named, file, "{what}");
            what
        }
        other => panic!("{other:?}"),
    }
}

/// The segment that is written to.
fn newest_begun(dir: &Path) -> PathBuf {
    let is_begun = |file: &PathBuf| fs::read(file).unwrap().iter().any(|&byte| byte != 0);
    segments(dir).into_iter().rfind(is_begun).unwrap()
}

fn checkpoint(dir: &Path) -> PathBuf {
    dir.join("log/checkpoint")
}

/// The end of the frames of a sealed segment, as its foot says it.
fn frames_end(bytes: &[u8]) -> usize {
    let foot = &bytes[bytes.len() - FOOT_BYTES..];
    assert_eq!(&foot[..8], b"WHIMFOOT");
    let end = foot[FRAMES_END_AT..].first_chunk().unwrap();
    u64::from_le_bytes(*end) as usize
}

/// Cuts a file, which has the end of its frames at the number that `end` gets.
fn cut(file: &Path, end: impl Fn(usize) -> usize) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..end(bytes.len())]).unwrap();
}

fn append(file: &Path, more: &[u8]) {
    fs::write(file, [&fs::read(file).unwrap(), more].concat()).unwrap();
}

fn zero_head(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[..HEAD_BYTES].fill(0);
    fs::write(file, bytes).unwrap();
}

/// `bytes` with zeros at these places and the three after them.
fn with_zeros(bytes: &[u8], places: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    places.iter().for_each(|&at| bytes[at..at + 4].fill(0));
    bytes
}
