//! Compaction: the log is copied without the content of deleted posts, and the copy replaces it.
//!
//! ```text
//!   log.redb ─────────── appends and reads continue ────────────┬─ appends wait ─┐
//!      │ a chunk  │ a chunk  │ a chunk                          │ the last chunk │
//!      ▼          ▼          ▼                                  ▼                ▼ renamed
//!   log.redb.compacted ────────────────────────────────────────────────────────▶ log.redb
//! ```
//!
//! redb writes changes to new pages and keeps the bytes of the old ones until it reuses them. Only
//! a file that never had some bytes surely lacks them. The log itself is never changed: before the
//! rename a failure leaves it as it was, and after the rename the old file is gone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::Database;

use super::{ERASED_UNTIL_KEY, FORMAT, FORMAT_KEY, LOG, LOG_ID_KEY, LocalLog, META, gap};
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::{EraseOutcome, Erasure, Log, codec};
use crate::storage::redb_file::{OpenFile, guarded, storage};

/// Most events of one transaction. Between transactions a stop is noticed, and appends get their
/// turn at the disk.
const TRANSACTION_EVENTS_MAX: u64 = 4_096;
/// A transaction ends once its records have so many bytes: posts with many attachments are long.
const TRANSACTION_BYTES_MAX: usize = 4 << 20;
/// Time between two checks whether the last read of the old file has ended.
const RELEASE_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The copy that a compaction writes.
struct CompactedLog {
    database: Database,
    /// The last revision in it.
    until: u64,
}

impl CompactedLog {
    /// Adds the next `records`; the last transaction adds `meta` too.
    fn add(&mut self, records: &[Vec<u8>], meta: &[(&str, u64)]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // Only the last transaction is ever opened: an unfinished copy is removed.
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
    /// See [`Log::erase`].
    pub(super) fn compact(
        &self,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, Error> {
        debug_assert!(erasure.posts.is_sorted(), "the revisions of an erasure rise");
        let _alone = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        match guarded(&self.file, || self.copy_most(erasure, go_on)) {
            Ok(Some(copy)) => self.exchange(copy, erasure),
            Ok(None) => Ok(self.discard_copy(EraseOutcome::Abandoned)),
            Err(error) => Ok(self.discard_copy(EraseOutcome::Postponed(error))),
        }
    }

    /// Copies all events except those that are appended during the last chunk. `None` once `go_on`
    /// is false.
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
            let end = head.min(copy.until.saturating_add(TRANSACTION_EVENTS_MAX));
            let records = self.records(copy.until, end, erasure, TRANSACTION_BYTES_MAX)?;
            self.add(&mut copy, &records, &[])?;
            if copy.until == head {
                return Ok(Some(copy));
            }
        }
    }

    /// Copies the events that were appended since, and the table `meta`.
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

    /// Copies the last events while appends wait, and makes the copy the current file.
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
            return Ok(self.discard_copy(outcome));
        }
        debug_assert_eq!(copy.until, self.head().get(), "the copy has every event");
        if let Err(error) = self.files.exchange() {
            // The next opening may find either file: an append to one of them could be lost.
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

    /// The records of the copy after revision `copied` and up to `end`, or fewer once they have
    /// `bytes_max`.
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
                let record =
                    self.compacted_record(Revision::new(expected), record.value(), erasure)?;
                bytes += record.len();
                records.push(record);
                if bytes >= bytes_max {
                    break;
                }
            }
            Ok(records)
        })
    }

    /// The record of `revision` in the copy: without content if its post is erased, else `record`,
    /// whose checksum is verified.
    fn compacted_record(
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
        let mut erased = Vec::new();
        codec::encode(revision, &self.decode(revision.get(), record)?.erased(), &mut erased);
        Ok(erased)
    }

    /// Removes the copy; if that fails the next start does.
    fn discard_copy(&self, outcome: EraseOutcome) -> EraseOutcome {
        if let Err(error) = self.files.remove_copy() {
            tracing::warn!(%error, "an unfinished copy of the log cannot be removed");
        }
        outcome
    }

    /// Waits for the reads that began before the exchange, and closes the old file, which frees its
    /// space on the disk.
    fn release(&self, mut old: Arc<OpenFile>) {
        loop {
            match Arc::try_unwrap(old) {
                Ok(file) => return drop(file),
                Err(shared) => old = shared,
            }
            std::thread::sleep(RELEASE_POLL_INTERVAL);
        }
    }
}
