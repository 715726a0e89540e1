//! Restoring a backup into an empty data folder: to its end, or to a revision or a time. Never leaves a
//! folder that a server would take for a whole log.

use std::path::Path;

use super::check::gap;
use super::manifest::{self, Manifest};
use super::take::{NotUsed, check_bytes};
use super::{Destination, Error};
use crate::model::{Revision, Timestamp};
use crate::storage::{self, CheckedCopy, LogRestore, RestoredLog};

/// Where a restored log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreUntil {
    /// Where the backup ends.
    End,
    /// After this revision.
    Revision(Revision),
    /// Before the first event whose time is later. The clock of the server may have been set back, so
    /// later events may have earlier times: they are left out too.
    Time(Timestamp),
}

/// Restores the backup with this name, or the newest, into the folder `data`. `progress` gets the bytes
/// that are done and those of the whole backup.
///
/// # Errors
/// The backup is damaged or does not reach as far, or the folder has something or cannot be written.
pub async fn restore(
    destination: &Destination,
    name: Option<&str>,
    until: RestoreUntil,
    data: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Manifest, RestoredLog), Error> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => manifest::names(destination).await?.pop().ok_or_else(|| Error::NoBackup {
            name: "at all".to_owned(),
            destination: destination.to_string(),
        })?,
    };
    let manifest = Manifest::read(destination, &name).await?;
    if let Some(what) = gap(&manifest) {
        return Err(Error::Damaged { object: destination.object(&name), what });
    }
    let mut last = match until {
        RestoreUntil::Revision(revision) if revision.get() > manifest.revision => {
            return Err(Error::EndsEarly { name, head: manifest.revision });
        }
        RestoreUntil::Revision(revision) => revision,
        RestoreUntil::End | RestoreUntil::Time(_) => Revision::MAX,
    };
    let mut restore = LogRestore::begin(data)?;
    let (mut done, all) = (0, manifest.bytes());
    let mut is_cut = false;
    for segment in &manifest.segments {
        let object = destination.object(&segment.object());
        let damaged = |what| Error::Damaged { object: object.clone(), what };
        let bytes = destination.get(&segment.object()).await?;
        let bytes = bytes.ok_or_else(|| damaged("it is missing".to_owned()))?;
        done += segment.bytes;
        let copy = check_bytes(&object, bytes, &manifest.log_id, segment);
        let copy = copy.map_err(|error| match error {
            NotUsed::Differs(what) => damaged(what),
            NotUsed::OtherFormat(other) => {
                let other = other.written_by(Some(manifest.version.clone()));
                Error::OtherFormat { object: object.clone(), other }
            }
        })?;
        if let RestoreUntil::Time(time) = until
            && !is_cut
            && let Some(found) = copy.last_until(time).map_err(damaged)?
        {
            if found == Revision::ZERO {
                return Err(Error::NothingUntil { name });
            }
            last = found;
            // The segment before had all that is wanted.
            is_cut = segment.first_revision > last.get();
        }
        restore = add(restore, copy, last, is_cut).await?.map_err(damaged)?;
        progress(done, all);
        is_cut |= segment.last_revision >= last.get();
        if is_cut && !restore.lacks_deletions() {
            break;
        }
    }
    let restored = restore.finish()?;
    debug_assert!(
        until != RestoreUntil::End || restored.chain.to_string() == manifest.chain,
        "the chain of what was restored is that of the backup"
    );
    Ok((manifest, restored))
}

/// Adds the next segment up to `last`, and the deletions that it has of posts which were erased since. Runs
/// on a thread that may block. The inner error describes damage.
async fn add(
    mut restore: LogRestore,
    copy: CheckedCopy,
    last: Revision,
    is_cut: bool,
) -> Result<Result<LogRestore, String>, Error> {
    let add = move || -> Result<Result<LogRestore, String>, storage::Error> {
        let (_, _, segment_last, _) = copy.place();
        let has_later = segment_last > last;
        if !is_cut {
            restore.add(&copy, last)?;
        }
        let added = if has_later { restore.add_deletions(&copy) } else { Ok(()) };
        Ok(added.map(|()| restore))
    };
    match tokio::task::spawn_blocking(add).await {
        Ok(added) => Ok(added?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
