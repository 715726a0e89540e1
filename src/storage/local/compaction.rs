//! Writing the log anew without what deleted posts said.
//!
//! ```text
//!   log.redb ──────────── appends and reads go on ───────────┬─ waits ─┐
//!      │ a part  │ a part  │                                 │ the rest│
//!      ▼         ▼         ▼                                 ▼         ▼ renamed over it
//!   log.redb.compacted ──────────────────────────────────────────────▶ log.redb
//! ```
//!
//! redb writes what it changes to other pages, and leaves the old ones as they are until they are
//! needed. So the only sure way to be rid of bytes is a file that never had them. Up to the rename
//! nothing has happened to the log, whatever went wrong; after it nothing is left of the old file.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::Database;

use super::{ERASED_UNTIL_KEY, FORMAT, FORMAT_KEY, LOG, LOG_ID_KEY, LocalLog, META, gap};
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::{EraseOutcome, Erasure, Log, codec};
use crate::storage::redb_file::{OpenFile, guarded, storage};

/// Most events of one transaction: after each a stop is heeded, and others get at the disk.
const EVENTS_MAX: u64 = 4_096;
/// Bytes after which a transaction ends: posts with many attachments are long.
const BYTES_MAX: usize = 4 << 20;
/// How often is looked whether the last read of the old file is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The file that is being written.
struct CompactedLog {
    database: Database,
    /// The revision copied last.
    until: u64,
}

impl CompactedLog {
    /// Adds `records`, and at last what else is in the file.
    fn add(&mut self, records: &[Vec<u8>], meta: &[(&str, u64)]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // Only the last transaction is ever found by an opening.
        transaction.set_quick_repair(!meta.is_empty());
        {
            let mut log = transaction.open_table(LOG)?;
            for (revision, record) in (self.until + 1..).zip(records) {
                log.insert(revision, record.as_slice())?;
            }
            for &(key, value) in meta {
                transaction.open_table(META)?.insert(key, value)?;
            }
        }
        transaction.commit()?;
        self.until += records.len() as u64;
        Ok(())
    }
}

impl LocalLog {
    pub(super) fn write_anew(
        &self,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, Error> {
        let _alone = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        match guarded(&self.file, || self.copy_most(erasure, go_on)) {
            Ok(Some(copy)) => self.exchange(copy, erasure),
            Ok(None) => Ok(self.left_as_it_was(EraseOutcome::Abandoned)),
            Err(error) => Ok(self.left_as_it_was(EraseOutcome::Postponed(error))),
        }
    }

    /// Copies all but what is appended during the last part. `None` if it is not to go on.
    fn copy_most(
        &self,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<CompactedLog>, Error> {
        let mut copy = CompactedLog { database: self.files.make_copy()?, until: 0 };
        loop {
            if !go_on() {
                return Ok(None);
            }
            self.files.check_room()?;
            let head = self.head().get();
            let end = head.min(copy.until.saturating_add(EVENTS_MAX));
            let records = self.records(copy.until, end, erasure, BYTES_MAX)?;
            self.add(&mut copy, &records, &[])?;
            if copy.until == head {
                return Ok(Some(copy));
            }
        }
    }

    /// Copies what was appended since, and all else that is in the file.
    fn complete(&self, copy: &mut CompactedLog, erasure: &Erasure) -> Result<(), Error> {
        let head = self.head().get();
        let rest = self.records(copy.until, head, erasure, usize::MAX)?;
        let erased_until = self.erased_until_after(erasure);
        let meta = [
            (FORMAT_KEY, FORMAT),
            (LOG_ID_KEY, self.id.get()),
            (ERASED_UNTIL_KEY, erased_until.get()),
        ];
        self.add(copy, &rest, &meta)
    }

    fn erased_until_after(&self, erasure: &Erasure) -> Revision {
        erasure.until.min(self.head()).max(self.erased_until())
    }

    fn add(
        &self,
        copy: &mut CompactedLog,
        records: &[Vec<u8>],
        meta: &[(&str, u64)],
    ) -> Result<(), Error> {
        copy.add(records, meta).map_err(|error| storage(self.files.copy_name(), error))
    }

    /// Copies the rest while nobody appends, and puts the copy in the log's files.
    fn exchange(&self, mut copy: CompactedLog, erasure: &Erasure) -> Result<EraseOutcome, Error> {
        let mut writer = self.writer();
        let outcome = if writer.closed {
            Some(EraseOutcome::Abandoned)
        } else {
            let completed = guarded(&self.file, || self.complete(&mut copy, erasure));
            completed.err().map(EraseOutcome::Postponed)
        };
        if let Some(outcome) = outcome {
            drop(copy);
            return Ok(self.left_as_it_was(outcome));
        }
        if let Err(error) = self.files.exchange() {
            // What would be appended now could be in the one that is not found later.
            writer.close();
            return Err(error);
        }
        let new = Arc::new(OpenFile::new(copy.database));
        let mut current = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, new);
        drop(current);
        self.erased_until.store(self.erased_until_after(erasure).get(), Ordering::Release);
        drop(writer);
        self.release(old);
        Ok(EraseOutcome::Done)
    }

    /// The records that the copy gets after the first `copied`, none beyond `end`, and none more
    /// once they have `bytes_max`.
    fn records(
        &self,
        copied: u64,
        end: u64,
        erasure: &Erasure,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut bytes = 0;
        let mut records = Vec::new();
        self.with_table(|table| {
            let mut rows = table.range(copied + 1..).map_err(|error| storage(&self.file, error))?;
            for expected in copied + 1..=end {
                let row = rows.next().transpose().map_err(|error| storage(&self.file, error))?;
                let Some((_, record)) = row.filter(|(revision, _)| revision.value() == expected)
                else {
                    return Err(gap(&self.file, expected));
                };
                let left = self.left_of(Revision::new(expected), record.value(), erasure)?;
                bytes += left.len();
                records.push(left);
                if bytes >= bytes_max {
                    break;
                }
            }
            Ok(records)
        })
    }

    /// What is left of `record`: all of it, once it was seen to be whole, unless it is of a post
    /// that is erased.
    fn left_of(
        &self,
        revision: Revision,
        record: &[u8],
        erasure: &Erasure,
    ) -> Result<Vec<u8>, Error> {
        if erasure.posts.binary_search(&revision).is_err() {
            return match codec::verify(revision, record) {
                Ok(()) => Ok(record.to_vec()),
                Err(what) => Err(Error::Damaged { file: self.file.clone(), what }),
            };
        }
        let mut left = Vec::new();
        codec::encode(revision, &self.decode(revision.get(), record)?.erased(), &mut left);
        Ok(left)
    }

    /// Removes the copy. If that fails the next start does it.
    fn left_as_it_was(&self, outcome: EraseOutcome) -> EraseOutcome {
        if let Err(error) = self.files.remove_copy() {
            tracing::warn!(%error, "an unfinished copy of the log is left");
        }
        outcome
    }

    /// Waits for the reads that began before the exchange, so that the storage of the old file is
    /// given back. What its closing writes is of no use to anybody.
    fn release(&self, mut old: Arc<OpenFile>) {
        loop {
            match Arc::try_unwrap(old) {
                Ok(file) => return drop(file),
                Err(shared) => old = shared,
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}
