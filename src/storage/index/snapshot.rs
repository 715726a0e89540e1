//! Reading the index's tables as they are at one moment.

use std::cell::OnceCell;

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::chains::{self, CHANGES_OF, POSTS_OF};
use super::records::{self, CheckedValue, RECORDS};
use super::rows::{Residency, StoredKey};
use super::tables::{EDGES, RESIDENT};
use super::{IndexHealth, TimelineKind};
use crate::model::{Mark, Revision};
use crate::storage::error::Error;

/// The tables at one moment. To make one costs little: a table is opened when it is asked for.
pub struct Snapshot<'a> {
    file: &'a IndexHealth,
    transaction: ReadTransaction,
    complete_until: Revision,
    user_count: u32,
    posts_of: OnceCell<ReadOnlyTable<(u32, u64), u64>>,
    changes_of: OnceCell<ReadOnlyTable<(u32, u64), u64>>,
    edges: OnceCell<ReadOnlyTable<(u32, u32), u64>>,
    records: OnceCell<ReadOnlyTable<StoredKey, CheckedValue>>,
    resident: OnceCell<ReadOnlyTable<StoredKey, u128>>,
}

impl<'a> Snapshot<'a> {
    /// What `transaction` sees: all up to `complete_until`, with the users below `user_count`, at
    /// least.
    pub(super) fn new(
        file: &'a IndexHealth,
        transaction: ReadTransaction,
        complete_until: Revision,
        user_count: u32,
    ) -> Self {
        Self {
            file,
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

    /// All that the log says up to here is in it.
    #[must_use]
    pub fn complete_until(&self) -> Revision {
        self.complete_until
    }

    /// Since when one user follows another.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn edge(&self, follower: u32, followee: u32) -> Result<Option<Revision>, Error> {
        let since = self.file.guarded(|| Ok(self.edges()?.get((follower, followee))?))?;
        Ok(since.map(|since| Revision::new(since.value())))
    }

    /// A record, if it is one.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn record(&self, key: StoredKey, keep: Residency) -> Result<Option<u128>, Error> {
        self.file.guarded(|| match keep {
            Residency::OnDisk => records::get(self.records()?, key),
            Residency::InMemory => Ok(self.resident()?.get(key)?.map(|value| value.value())),
        })
    }

    /// The records of a table about a subject at places below `before`, highest first, at most
    /// `max`; of those that are read when they are asked for.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn records_before(
        &self,
        about: (u8, u64),
        before: u64,
        max: usize,
    ) -> Result<Vec<(u64, u128)>, Error> {
        self.file.guarded(|| records::list_before(self.records()?, about, before, max))
    }

    /// The records of a table about a subject at places above `after`, lowest first, at most `max`;
    /// of those that are read when they are asked for.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn records_after(
        &self,
        about: (u8, u64),
        after: u64,
        max: usize,
    ) -> Result<Vec<(u64, u128)>, Error> {
        self.file.guarded(|| records::list_after(self.records()?, about, after, max))
    }

    /// The newest of `user`'s marks before `before`, newest first, at most `max`.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn newest_before(
        &self,
        history: TimelineKind,
        user: u32,
        before: Mark,
        max: usize,
    ) -> Result<Vec<Mark>, Error> {
        self.file.guarded(|| {
            let found = chains::newest_before(self.chains(history)?, user, before, max)?;
            found.map_or_else(|| self.without_chain(user), Ok)
        })
    }

    /// The oldest of `user`'s marks after `after`, oldest first, at most `max`.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn oldest_after(
        &self,
        history: TimelineKind,
        user: u32,
        after: Mark,
        max: usize,
    ) -> Result<Vec<Mark>, Error> {
        self.file.guarded(|| {
            let found = chains::oldest_after(self.chains(history)?, user, after, max)?;
            found.map_or_else(|| self.without_chain(user), Ok)
        })
    }

    /// What is known of a user without a chain, who must be too new to be here.
    fn without_chain(&self, user: u32) -> Result<Vec<Mark>, redb::Error> {
        if user < self.user_count { Err(chains::broken(user)) } else { Ok(Vec::new()) }
    }

    fn chains(
        &self,
        history: TimelineKind,
    ) -> Result<&ReadOnlyTable<(u32, u64), u64>, redb::Error> {
        match history {
            TimelineKind::Posts => self.opened(&self.posts_of, POSTS_OF),
            TimelineKind::Changes => self.opened(&self.changes_of, CHANGES_OF),
        }
    }

    fn edges(&self) -> Result<&ReadOnlyTable<(u32, u32), u64>, redb::Error> {
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

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(complete until {})", self.complete_until)
    }
}
