//! Reads of the index from one consistent state. Never writes.

use std::cell::OnceCell;
use std::sync::Arc;

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::chains::{self, CHANGES_OF, POSTS_OF};
use super::edges::{self, EDGES};
use super::records::{self, CheckedValue, RECORDS};
use super::rows::{Residency, StoredKey};
use super::tables::RESIDENT;
use super::{IndexHealth, TimelineKind};
use crate::model::{Mark, Revision};
use crate::storage::error::Error;

/// One consistent state of all tables. Cheap to make: each table is opened by its first read.
pub struct Snapshot {
    health: Arc<IndexHealth>,
    transaction: ReadTransaction,
    complete_until: Revision,
    user_count: u32,
    posts_of: OnceCell<ReadOnlyTable<(u32, u64), u64>>,
    changes_of: OnceCell<ReadOnlyTable<(u32, u64), u64>>,
    edges: OnceCell<ReadOnlyTable<edges::Key, &'static [u8]>>,
    records: OnceCell<ReadOnlyTable<StoredKey, CheckedValue>>,
    resident: OnceCell<ReadOnlyTable<StoredKey, u128>>,
}

impl Snapshot {
    /// The state of `transaction`, which has at least every event up to `complete_until` and every
    /// user below `user_count`.
    pub(super) fn new(
        health: Arc<IndexHealth>,
        transaction: ReadTransaction,
        complete_until: Revision,
        user_count: u32,
    ) -> Self {
        Self {
            health,
            transaction,
            complete_until,
            user_count,
            posts_of: OnceCell::new(),
            changes_of: OnceCell::new(),
            edges: OnceCell::new(),
            records: OnceCell::new(),
            resident: OnceCell::new(),
        }
    }

    /// The snapshot has the effect of every event up to this revision, and maybe of later ones.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        self.complete_until
    }

    /// The revision since which `follower` follows `followee`; `None` if they do not.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn edge(&self, follower: u32, followee: u32) -> Result<Option<Revision>, Error> {
        let since = self.health.guarded(|| edges::get(self.edges()?, (follower, followee)))?;
        Ok(since.map(Revision::new))
    }

    /// The value of the record at `key`; `None` if there is none.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn record(&self, key: StoredKey, residency: Residency) -> Result<Option<u128>, Error> {
        self.health.guarded(|| match residency {
            Residency::OnDisk => records::get(self.records()?, key),
            Residency::InMemory => Ok(self.resident()?.get(key)?.map(|value| value.value())),
        })
    }

    /// The records of a list (table, subject) at positions below `before`, highest first, at most
    /// `max`. Only of tables that are [`Residency::OnDisk`].
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn records_before(
        &self,
        list: (u8, u64),
        before: u64,
        max: usize,
    ) -> Result<Vec<(u64, u128)>, Error> {
        self.health.guarded(|| records::list_before(self.records()?, list, before, max))
    }

    /// The records of a list (table, subject) at positions above `after`, lowest first, at most
    /// `max`. Only of tables that are [`Residency::OnDisk`].
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn records_after(
        &self,
        list: (u8, u64),
        after: u64,
        max: usize,
    ) -> Result<Vec<(u64, u128)>, Error> {
        self.health.guarded(|| records::list_after(self.records()?, list, after, max))
    }

    /// The newest marks of `user` before `before`, newest first, at most `max`.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn newest_before(
        &self,
        kind: TimelineKind,
        user: u32,
        before: Mark,
        max: usize,
    ) -> Result<Vec<Mark>, Error> {
        self.health.guarded(|| {
            let found = chains::newest_before(self.chains(kind)?, user, before, max)?;
            found.map_or_else(|| self.without_chain(user), Ok)
        })
    }

    /// The oldest marks of `user` after `after`, oldest first, at most `max`.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn oldest_after(
        &self,
        kind: TimelineKind,
        user: u32,
        after: Mark,
        max: usize,
    ) -> Result<Vec<Mark>, Error> {
        self.health.guarded(|| {
            let found = chains::oldest_after(self.chains(kind)?, user, after, max)?;
            found.map_or_else(|| self.without_chain(user), Ok)
        })
    }

    /// The answer for a user without a chain: no marks for a user who is newer than the snapshot,
    /// an error for any other.
    fn without_chain(&self, user: u32) -> Result<Vec<Mark>, redb::Error> {
        if user < self.user_count { Err(chains::broken(user)) } else { Ok(Vec::new()) }
    }

    fn chains(&self, kind: TimelineKind) -> Result<&ReadOnlyTable<(u32, u64), u64>, redb::Error> {
        match kind {
            TimelineKind::Posts => self.opened(&self.posts_of, POSTS_OF),
            TimelineKind::Changes => self.opened(&self.changes_of, CHANGES_OF),
        }
    }

    fn edges(&self) -> Result<&ReadOnlyTable<edges::Key, &'static [u8]>, redb::Error> {
        self.opened(&self.edges, EDGES)
    }

    fn records(&self) -> Result<&ReadOnlyTable<StoredKey, CheckedValue>, redb::Error> {
        self.opened(&self.records, RECORDS)
    }

    fn resident(&self) -> Result<&ReadOnlyTable<StoredKey, u128>, redb::Error> {
        self.opened(&self.resident, RESIDENT)
    }

    fn opened<'t, K: Key, V: Value>(
        &self,
        table: &'t OnceCell<ReadOnlyTable<K, V>>,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<&'t ReadOnlyTable<K, V>, redb::Error> {
        if let Some(open) = table.get() {
            return Ok(open);
        }
        let open = self.transaction.open_table(definition)?;
        Ok(table.get_or_init(|| open))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(complete until {})", self.complete_until)
    }
}
