//! Repair of a lost index while the server runs: its file is opened again, or a replacement takes
//! its place. Never reads the log to fill a replacement: the engine's indexer does.

use std::sync::PoisonError;

use super::files::FileRole;
use super::health::{IndexLoss, reason};
use super::opener::{IndexRejection, open_again};
use super::{Index, IndexHeader, OpenFile, TablesLocation, guarded};
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::Log;

impl Index {
    /// Whether a thread repairs this index from now on. With a repairer, the first failed operation
    /// makes the index lost: that call and all later ones fail with [`Error::IndexLost`].
    pub fn set_has_repairer(&self, has_repairer: bool) {
        self.health.set_has_repairer(has_repairer);
    }

    /// Why the index is lost; `None` while it can be used.
    #[must_use]
    pub fn loss(&self) -> Option<IndexLoss> {
        self.health.loss()
    }

    /// Blocks until the index can be used. `false` if it is lost and has no repairer any more.
    #[must_use]
    pub fn wait_until_repaired(&self) -> bool {
        self.health.wait_until_repaired()
    }

    /// Whether the index is lost, or in memory only. An index in memory takes no more rows.
    #[must_use]
    pub fn needs_repair(&self) -> bool {
        self.health.loss().is_some() || self.writer().location == TablesLocation::Memory
    }

    /// Opens the file again, as after a failed write. `false` if the file lacks rows that this
    /// index had; `true` if it is in use again.
    ///
    /// # Errors
    /// The file cannot be opened, or the log cannot be read.
    pub fn reopen(&self, log: &dyn Log) -> Result<bool, Error> {
        let mut writer = self.writer();
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked while it is open: close it first.
        *database = None;
        let role = writer.location.file_role();
        let file = self.opener.files.name(role);
        let Some((opened, damage)) = open_again(&*self.opener.files, role)? else {
            return Ok(false);
        };
        let opened = OpenFile::closed_unwritten(opened);
        let read = guarded(file, || IndexHeader::read_with_users(&opened, file));
        let (header, users) = read?;
        header.check(file, log).map_err(IndexRejection::into_error)?;
        if header.complete_until < self.complete_until() || header.hash_key != self.hash_key {
            return Ok(false);
        }
        writer.rows_sum = header.rows_sum;
        *database = Some(opened);
        self.health.set_damage(damage);
        drop(database);
        self.set_content(users, header.complete_until);
        self.health.set_repaired();
        Ok(true)
    }

    /// An empty index of `log`, for the caller to fill up to [`Index::complete_until`] and pass to
    /// [`Index::replace_with`]. Removes the current file if it is damaged.
    ///
    /// # Errors
    /// The new file cannot be made.
    pub fn new_replacement(&self, log: &dyn Log) -> Result<Self, Error> {
        let writer = self.writer();
        if let Some(loss) = self.health.loss() {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            *database = None;
            if loss.is_damage && writer.location == TablesLocation::Current {
                self.opener.files.remove(FileRole::Current)?;
            }
        }
        self.opener.create(log, self.hash_key)
    }

    /// As [`Index::new_replacement`], in memory: for a disk on which no file can be written.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub fn new_replacement_in_memory(&self, log: &dyn Log) -> Result<Self, Error> {
        self.opener.create_in_memory(log, self.hash_key)
    }

    /// Takes over the tables of `replacement`. This index is in use again.
    ///
    /// # Panics
    /// `replacement` ends before this index does: memory may have dropped what it lacks.
    pub fn replace_with(&self, replacement: Self) {
        assert!(
            replacement.complete_until() >= self.complete_until(),
            "the replacement lacks rows that the index had"
        );
        let mut writer = self.writer();
        let users = replacement.new_rows().next_user();
        let complete_until = replacement.complete_until();
        *writer = replacement.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.health.set_damage(replacement.health.damage());
        let tables = replacement.database.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = tables;
        drop(writer);
        self.set_content(users, complete_until);
        self.health.set_repaired();
        if complete_until > Revision::ZERO {
            self.install_new_file();
        } else {
            self.opener.install_if_no_current(self);
        }
    }

    /// Makes a new file, which is complete by now, the current one. If that fails it keeps its
    /// name, and the next start finds it there.
    pub fn install_new_file(&self) {
        let mut writer = self.writer();
        if writer.location != TablesLocation::New || writer.has_install_failed {
            return;
        }
        match self.opener.files.install_new() {
            Ok(()) => writer.location = TablesLocation::Current,
            Err(error) => {
                writer.has_install_failed = true;
                let stays = self.opener.files.name(FileRole::New).display();
                let why = reason(&error);
                tracing::warn!(%stays, why, "the rebuilt index cannot replace the old one");
            }
        }
    }
}
