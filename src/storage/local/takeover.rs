//! Taking over the log of an earlier version: the events of `log.redb` become segments. The log's id
//! and all revisions stay the same, so cursors stay valid. Never changes an event of `log.redb`, and removes it
//! only once the segments are complete and durable.
//!
//! ```text
//!   log.redb ──▶ log.new/, in batches ──▶ renamed to log/ ──▶ log.redb is removed
//! ```
//!
//! An interrupted takeover begins again: `log.new` is not complete, and `log` is.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checkpoint::Checkpoint;
use super::disk_folder::DiskFolder;
use super::folder::Folder;
use super::recovery::{create_first, list_readable};
use super::segment::SegmentFiles;
use super::{FOLDER, LocalLog, LogOptions, Origin};
use crate::model::{Epoch, Event, Revision};
use crate::storage::error::Error;
use crate::storage::log::Log;
use crate::storage::redb_log::{FILE, RedbLog, UNFINISHED_FILES};

/// The folder of the segments while they are not complete.
const UNFINISHED_FOLDER: &str = "log.new";
/// Events of one batch: few enough that a batch is much smaller than a segment.
const BATCH_EVENTS: usize = 4_096;
/// Time between two messages about the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Takes over `log.redb` in `dir`, if there is one. The folder is locked.
///
/// # Errors
/// The file is damaged or cannot be read, the segments cannot be written, or there is no room for
/// them. `log.redb` has all its events.
pub(super) fn take_over(dir: &Path, options: LogOptions) -> Result<(), Error> {
    let (old_file, folder) = (dir.join(FILE), dir.join(FOLDER));
    let unfinished = dir.join(UNFINISHED_FOLDER);
    let failed = |error: io::Error| Error::Storage { file: old_file.clone(), source: error.into() };
    let has_old = old_file.try_exists().map_err(failed)?;
    if !has_old && !unfinished.try_exists().map_err(failed)? {
        return Ok(());
    }
    let has_new = folder.try_exists().map_err(failed)?;
    if has_new {
        // Before anything is removed.
        check_readable(&folder)?;
    }
    let old = if has_old { Some(RedbLog::open(&old_file)?) } else { None };
    remove_folder(&unfinished)
        .map_err(|error| Error::Storage { file: unfinished.clone(), source: error.into() })?;
    let Some(old) = old else { return Ok(()) };
    if has_new {
        // The start before was interrupted between the last two steps, or somebody put it there.
        check_same(&old, dir, options)?;
    } else {
        check_room(&old_file, dir, options)?;
        copy(&old, &unfinished, options)?;
        fs::rename(&unfinished, &folder)
            .map_err(|error| Error::Storage { file: folder.clone(), source: error.into() })?;
    }
    drop(old);
    let remove = || {
        // The new name first, which a process may have set that was killed.
        File::open(dir)?.sync_all()?;
        for name in UNFINISHED_FILES {
            remove_file(&dir.join(name))?;
        }
        remove_file(&old_file)?;
        File::open(dir)?.sync_all()
    };
    remove().map_err(failed)
}

/// Writes all events of `old` into a new log in the folder `new`.
fn copy(old: &RedbLog, new: &Path, options: LogOptions) -> Result<(), Error> {
    let storage = |error: io::Error| Error::Storage { file: new.to_owned(), source: error.into() };
    fs::create_dir(new).map_err(storage)?;
    let folder: Arc<dyn Folder> = Arc::new(DiskFolder::new(new.to_owned()));
    create_first(&SegmentFiles::new(Arc::clone(&folder)), old.id, options)?;
    let log = LocalLog::open_folder(folder, options, Origin::Here(Epoch::UNRECORDED), None)?;
    debug_assert_eq!(log.id(), old.id, "cursors stay valid");

    let (began, mut reported) = (Instant::now(), Instant::now());
    tracing::info!(events = %old.head, "taking over the log of an earlier version");
    let mut done = Revision::ZERO;
    while done < old.head {
        let events = old.read(done, BATCH_EVENTS)?;
        let next = Revision::new(done.get() + events.len() as u64);
        debug_assert!(next > done, "the log has every event up to its head");
        log.append(done, events)?;
        done = next;
        if reported.elapsed() >= PROGRESS_INTERVAL {
            reported = Instant::now();
            tracing::info!(events = %done, of = %old.head, "taking over the log");
        }
    }
    log.set_erased_until(old.erased_until)?;
    log.close();
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(events = %done, seconds, "the log of an earlier version is taken over");
    Ok(())
}

/// Fails if the log in segments is of a version that is not read.
fn check_readable(folder: &Path) -> Result<(), Error> {
    let folder: Arc<dyn Folder> = Arc::new(DiskFolder::new(folder.to_owned()));
    let (_, content) = Checkpoint::open(Arc::clone(&folder))?;
    list_readable(&SegmentFiles::new(folder), content.writer).map(drop)
}

/// Fails unless the log in segments has all that `old` has.
fn check_same(old: &RedbLog, dir: &Path, options: LogOptions) -> Result<(), Error> {
    let folder = Arc::new(DiskFolder::new(dir.join(FOLDER)));
    let log = LocalLog::open_folder(folder, options, Origin::Here(Epoch::UNRECORDED), None)?;
    let last = log.get(old.head)?;
    let of_old = old.read(old.head.previous(), 1)?.pop();
    let is_same = |event| Some(&event) == of_old.as_ref() || Some(event) == erased(of_old.as_ref());
    if log.id() == old.id && last.is_none_or(is_same) && old.head <= log.head() {
        return Ok(());
    }
    Err(Error::TwoLogs { folder: dir.join(FOLDER), file: dir.join(FILE) })
}

fn erased(event: Option<&Event>) -> Option<Event> {
    event.map(|event| event.clone().erased())
}

/// Fails if the disk has no room for the segments: they take no more than the file did, and one
/// segment is made ready.
fn check_room(old: &Path, dir: &Path, options: LogOptions) -> Result<(), Error> {
    let room = || -> io::Result<(u64, Option<u64>)> {
        Ok((fs::metadata(old)?.len(), DiskFolder::new(dir.to_owned()).bytes_free()?))
    };
    let (bytes, free) =
        room().map_err(|error| Error::Storage { file: old.to_owned(), source: error.into() })?;
    let bytes_needed =
        bytes.saturating_add(options.segment_bytes_max).saturating_add(options.disk_free_bytes_min);
    match free {
        Some(bytes_free) if bytes_free < bytes_needed => {
            Err(Error::NoRoomToTakeOver { file: old.to_owned(), bytes_free, bytes_needed })
        }
        _ => Ok(()),
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_file(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
