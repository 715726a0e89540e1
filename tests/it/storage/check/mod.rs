//! Verifying a log: one without damage is found to be so, also while a server writes to it, and
//! nothing in its folder is changed.

mod damage;
mod index;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tempfile::TempDir;
use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, PostText, Revision, Timestamp, UserId,
};
use whimbrel::storage::{
    CheckedLog, EraseOutcome, Erasure, Error, LocalLog, Log, LogOptions, NotErased, check_log,
    read_chain,
};

use crate::harness::{LOG_OPTIONS, copy_folder};

/// Small segments: 4 KiB, then 16 KiB.
const SMALL: LogOptions = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 16 << 10 };
/// The revision of the event that deletes the posts 5 and 60 of [`written`].
const DELETED_UNTIL: u64 = 201;

/// The log's own values are found, at every revision, and they are the same while it is open.
#[test]
fn a_log_is_verified() {
    let folder = written();
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    let verified = verified(folder.path());
    assert_eq!((verified.id, verified.head), (log.id(), log.head()));
    assert_eq!(Some(verified.chain), log.chain(log.head()).unwrap());
    assert_eq!(verified.erased_until.get(), DELETED_UNTIL);
    assert_eq!((verified.not_erased, verified.torn_bytes), (None, 0));
    assert_eq!(verified.epochs, 2);
    // All but the prepared one, which has zeros.
    let segments = segments(folder.path());
    let begun: Vec<_> = segments.iter().map(|file| fs::read(file).unwrap()).collect();
    let begun: Vec<_> = begun.iter().filter(|bytes| bytes.iter().any(|&byte| byte != 0)).collect();
    assert!(begun.len() > 4, "the log has {} segments", begun.len());
    assert!(begun.len() < segments.len(), "none is prepared");
    assert_eq!(verified.segments, begun.len() as u64);
    assert_eq!(verified.bytes, begun.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
    for revision in (0..=log.head().get() + 1).map(Revision::new) {
        let chain = log.chain(revision).unwrap();
        assert_eq!(read_chain(folder.path(), revision).unwrap(), chain, "{revision}");
        assert_eq!(chain.is_some(), revision <= log.head());
    }

    drop(log);
    assert_eq!(self::verified(folder.path()), verified);
}

/// The progress rises with each segment, up to the last event.
#[test]
fn the_progress_is_reported() {
    let folder = written();
    let mut seen = Vec::new();
    let verified = check_log(folder.path(), &mut |revision| seen.push(revision)).unwrap();
    assert_eq!(seen.len() as u64, verified.segments);
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen.last(), Some(&verified.head));
}

/// Every file is as before, also those that an opening removes, changes or creates.
#[test]
fn nothing_is_changed() {
    let folder = written();
    let log = folder.path().join("log");
    let newest = segments(folder.path()).pop().unwrap();
    fs::write(newest.with_extension("seg.new"), "left by an erasure").unwrap();
    fs::write(log.join("0000000000000099.seg"), "left by a power cut").unwrap();
    fs::remove_file(folder.path().join("lock")).unwrap();
    let before = state_of(folder.path());
    let verified = verified(folder.path());
    assert!(verified.torn_bytes > 0);
    read_chain(folder.path(), verified.head).unwrap();
    assert_eq!(state_of(folder.path()), before);
    // The opening does change something, which this test would see.
    drop(LocalLog::open(folder.path(), SMALL).unwrap());
    assert_ne!(state_of(folder.path()), before);
}

/// A log is verified again and again while a server appends to it, erases posts and goes over to new
/// segments: what is on its way is never taken for damage.
#[test]
fn a_log_that_is_written_to_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes_max: 64 << 10, ..SMALL };
    let log = LocalLog::open(folder.path(), options).unwrap();
    let mut verifications = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..20).for_each(|_| append_and_erase(&log)));
        while !writer.is_finished() {
            let from = log.head();
            let verified = verified(folder.path());
            assert!(verified.head >= from, "{} is before {from}", verified.head);
            // A batch may be in the file before it is acknowledged.
            if let Some(chain) = log.chain(verified.head).unwrap() {
                assert_eq!(verified.chain, chain);
            }
            assert_eq!(verified.not_erased, None);
            verifications += 1;
        }
    });
    let verified = verified(folder.path());
    assert_eq!((verified.head, verified.erased_until), (log.head(), log.head()));
    assert!(verified.segments > 15, "{verified:?}");
    assert!(verifications > 3, "{verifications} verifications");
}

/// Appends posts, deletes older ones, and erases these.
fn append_and_erase(log: &LocalLog) {
    let mut posts = Vec::new();
    for _ in 0..20 {
        let first = log.head().get();
        let mut batch: Vec<_> =
            (1..=8).map(|number| post(&format!("{first} {number} {}", "x".repeat(250)))).collect();
        if let Some(old) = first.checked_sub(540) {
            posts.push(old + 2);
            batch.push(delete(old + 2));
        } else {
            batch.push(post("the ninth of a batch"));
        }
        log.append(log.head(), batch).unwrap();
    }
    erase(log, &posts);
}

/// A read sees a part of a frame, and the whole next one, which the server has written meanwhile. The
/// next read sees both.
#[test]
fn a_frame_that_is_being_read_while_it_is_written_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    fill(&log, 3);
    let before = fs::read(&segments(folder.path())[0]).unwrap();
    fill(&log, 2);
    let between = fs::read(&segments(folder.path())[0]).unwrap();
    fill(&log, 2);
    fill(&log, 1);
    let (head, id) = (log.head(), log.id());
    drop(log);
    let whole = fs::read(&segments(folder.path())[0]).unwrap();
    // Without a part of the frame of revision 4, and of the one of revision 6.
    let [one, other] = [before, between].map(|before| {
        let start = before.iter().rposition(|&byte| byte != 0).unwrap();
        let mut part = whole.clone();
        part[start + 120..start + 200].fill(0);
        part
    });

    for reads in [&[&one, &whole][..], &[&one, &other, &whole]] {
        let verified = verify_reads(folder.path(), reads).unwrap();
        assert_eq!((verified.id, verified.head, verified.torn_bytes), (id, head, 0));
    }
    for (reads, named) in
        [(&[&one, &one][..], "revision 4"), (&[&one, &other, &other], "revision 6")]
    {
        let error = verify_reads(folder.path(), reads).unwrap_err();
        assert!(error.to_string().contains(&format!("the frame of {named} at byte")), "{error}");
    }
}

/// A segment is read before an erasure replaces it, and the note of the erasure after that.
#[test]
fn a_post_that_is_erased_meanwhile_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    fill(&log, 3);
    log.append(log.head(), vec![delete(2)]).unwrap();
    drop(log);
    let file = segments(folder.path())[0].clone();
    let before = fs::read(&file).unwrap();
    let log = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap();
    erase(&log, &[2]);
    drop(log);
    let erased = fs::read(&file).unwrap();
    assert_ne!(before, erased);
    let found = verify_reads(folder.path(), &[&before, &erased]).unwrap().not_erased;
    assert_eq!(found, None);
    let found = verify_reads(folder.path(), &[&before, &before]).unwrap().not_erased;
    assert_eq!(found, Some(NotErased { posts: 1, first: Revision::new(2) }));
}

/// Verifies a log whose first segment has other bytes at each read: `reads`, which must be as many.
fn verify_reads(dir: &Path, reads: &[&Vec<u8>]) -> Result<CheckedLog, Error> {
    let file = segments(dir).remove(0);
    let kept = fs::read(&file).unwrap();
    let next = dir.join("next");
    let exchange = || {
        mknodat(CWD, &next, FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::rename(&next, &file).unwrap();
    };
    exchange();
    let (mut served, is_done) = (0, AtomicBool::new(false));
    let verified = std::thread::scope(|scope| {
        scope.spawn(|| {
            for &bytes in reads {
                // Fails until the pipe is opened for reading.
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
                let mut pipe = loop {
                    match options.open(&file) {
                        Ok(pipe) => break pipe,
                        Err(_) if is_done.load(Ordering::Acquire) => return,
                        Err(_) => std::thread::yield_now(),
                    }
                };
                // Before this one ends, so that the next read finds the other.
                exchange();
                pipe.write_all(bytes).unwrap();
                served += 1;
            }
        });
        let verified = check_log(dir, &mut |_| {});
        is_done.store(true, Ordering::Release);
        verified
    });
    assert_eq!(served, reads.len(), "the number of reads");
    fs::write(dir.join("kept"), kept).unwrap();
    fs::rename(dir.join("kept"), &file).unwrap();
    verified
}

/// A log without an event, and a folder without a log.
#[test]
fn an_empty_log_is_verified_and_a_missing_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let error = check_log(folder.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::NoLog { .. }), "{error}");
        assert_eq!(read_chain(folder.path(), Revision::ZERO).unwrap(), None);
        let _ = fs::create_dir(folder.path().join("log"));
    }
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    let verified = verified(folder.path());
    assert_eq!((verified.id, verified.head, verified.epochs), (log.id(), Revision::ZERO, 0));
    assert_eq!(Some(verified.chain), log.chain(Revision::ZERO).unwrap());
}

/// An older copy of one segment is put back, from before its posts were erased: the log opens, and
/// the posts are found. A whole older log is as good as the newer one.
#[test]
fn posts_that_are_back_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let older = tempfile::tempdir().unwrap();
    {
        let log = LocalLog::open(folder.path(), SMALL).unwrap();
        fill(&log, 200);
        log.append(log.head(), vec![delete(60), delete(5), delete(6)]).unwrap();
        drop(log);
        copy_folder(&folder.path().join("log"), &older.path().join("log"));
        let log = LocalLog::open(folder.path(), SMALL).unwrap();
        erase(&log, &[5, 6, 60]);
        // Not erased yet, as it was deleted later.
        log.append(log.head(), vec![delete(7)]).unwrap();
    }
    assert_eq!(verified(folder.path()).not_erased, None);
    assert_eq!(verified(older.path()).not_erased, None);

    let mut found = Vec::new();
    for file in segments(folder.path()) {
        let copy = older.path().join("log").join(file.file_name().unwrap());
        let Ok(copy) = fs::read(copy) else { continue };
        let kept = fs::read(&file).unwrap();
        if copy == kept || copy.iter().all(|&byte| byte == 0) {
            continue;
        }
        fs::write(&file, copy).unwrap();
        if let Ok(CheckedLog { not_erased: Some(back), .. }) = check_log(folder.path(), &mut |_| {})
        {
            found.push((back.first.get(), back.posts));
            drop(LocalLog::open(folder.path(), SMALL).unwrap());
        }
        fs::write(&file, kept).unwrap();
    }
    assert_eq!(found, [(5, 2), (60, 1)]);
}

/// A log with several segments, two openings, and two erased posts.
fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    fill(&log, 200);
    log.append(log.head(), vec![delete(5)]).unwrap();
    erase(&log, &[5]);
    drop(log);
    let log = LocalLog::open(folder.path(), SMALL).unwrap();
    fill(&log, 60);
    drop(log);
    folder
}

/// Appends `count` posts, in batches of one to seven.
fn fill(log: &LocalLog, count: u64) {
    let mut next = 1;
    while next <= count {
        let last = count.min(next + next % 7);
        let posts =
            (next..=last).map(|number| post(&format!("number {number} {}", "x".repeat(99))));
        log.append(log.head(), posts.collect()).unwrap();
        next = last + 1;
    }
}

/// Erases these posts, which are deleted.
fn erase(log: &LocalLog, posts: &[u64]) {
    let posts = posts.iter().map(|&post| Revision::new(post)).collect();
    let outcome = log.erase(&Erasure { posts, until: log.head() }, &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
}

fn author() -> UserId {
    UserId::parse("somebody").unwrap()
}

fn post(text: &str) -> Event {
    let content = Content::from_text(PostText::parse(text).unwrap());
    let publish = Change::Publish { author: author(), content, request_id: None };
    Event::new(Timestamp::from_nanos(1), publish)
}

fn delete(revision: u64) -> Event {
    let id = PostId::from_revision(Revision::new(revision));
    let post = PostRef { id, author: author() };
    let delete = Change::Delete { post, reply_to: None, quote: None, notified: Vec::new() };
    Event::new(Timestamp::from_nanos(1), delete)
}

fn verified(dir: &Path) -> CheckedLog {
    check_log(dir, &mut |_| {}).unwrap()
}

/// The files of the segments, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|it| it == "seg")).collect();
    files.sort();
    files
}

/// All files with their contents and the times of their changes.
fn state_of(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        match path.is_dir() {
            true => {
                files.extend(state_of(&path));
                files.insert(path, (Vec::new(), changed));
            }
            false => {
                let content = fs::read(&path).unwrap();
                files.insert(path, (content, changed));
            }
        }
    }
    files
}
