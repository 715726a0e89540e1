//! Mending an index that was lost, while it is in use: opening its file once more, or taking
//! another that was rebuilt. Who rebuilds it, from the log, is the engine's indexer.

use std::sync::PoisonError;

use super::files::FileRole;
use super::health::{IndexLoss, why};
use super::opener::{Rejection, open_again};
use super::{Index, IndexHeader, OpenFile, OpenedIndex, TablesLocation, guarded, storage, tables};
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::log::Log;

impl Index {
    /// Says that somebody mends the index from now on, or that nobody does any more. Whose use of
    /// it fails while somebody does gets [`Error::IndexLost`], and all others after that.
    pub fn set_repairing(&self, is_repaired: bool) {
        self.file.set_repairing(is_repaired);
    }

    /// Why it cannot be used, if that is so.
    #[must_use]
    pub fn loss(&self) -> Option<IndexLoss> {
        self.file.loss()
    }

    /// Waits until it can be used. Whether it can: not if nobody mends it any more.
    #[must_use]
    pub fn wait_until_repaired(&self) -> bool {
        self.file.wait_until_repaired()
    }

    /// Whether it cannot be used, or is in memory only, where nothing more is to be written.
    #[must_use]
    pub fn needs_repair(&self) -> bool {
        self.file.loss().is_some() || self.writer().place == TablesLocation::Memory
    }

    /// Opens the file once more, as after a write that failed. Whether it has all that it had, and
    /// so is in use again.
    ///
    /// # Errors
    /// The file cannot be opened, or the log not be read.
    pub fn reopen(&self, log: &dyn Log) -> Result<bool, Error> {
        let mut writer = self.writer();
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // It is let go of before it is opened.
        *database = None;
        let which =
            if writer.place == TablesLocation::New { FileRole::New } else { FileRole::Current };
        let file = self.opener.files.name(which);
        let Some((opened, damage)) = open_again(&*self.opener.files, which)? else {
            return Ok(false);
        };
        let opened = OpenFile::closed_unwritten(opened);
        let read = guarded(file, || {
            let users = tables::user_count(&opened).map_err(|error| storage(file, error))?;
            Ok((IndexHeader::read(&opened, file)?, users))
        });
        let (numbers, users) = read?;
        numbers.check(file, log).map_err(Rejection::into_error)?;
        if numbers.complete_until < self.complete_until() || numbers.hash_key != self.hash_key {
            return Ok(false);
        }
        writer.rows_sum = numbers.rows_sum;
        *database = Some(opened);
        self.file.exchanged(damage);
        drop(database);
        self.now_has(users, numbers.complete_until);
        self.file.mended();
        Ok(true)
    }

    /// Another, empty index of `log`, to be filled up to [`Index::complete_until`] and put in the
    /// place of this one. A file that is damaged is removed for it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new_replacement(&self, log: &dyn Log) -> Result<Self, Error> {
        let writer = self.writer();
        if let Some(loss) = self.file.loss() {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            *database = None;
            if loss.is_damage && writer.place == TablesLocation::Current {
                self.opener.files.remove(FileRole::Current)?;
            }
        }
        let OpenedIndex { index, .. } = self.opener.make(log, self.hash_key)?;
        Ok(index)
    }

    /// As [`Index::new_replacement`], in memory, for where no file can be written.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new_replacement_in_memory(&self, log: &dyn Log) -> Result<Self, Error> {
        let OpenedIndex { index, .. } = self.opener.make_in_memory(log, self.hash_key)?;
        Ok(index)
    }

    /// Takes all of `fresh`, which has what this one had, and is in use again.
    ///
    /// # Panics
    /// `fresh` has less than this one had, which memory may have dropped.
    pub fn replace_with(&self, fresh: Self) {
        assert!(fresh.complete_until() >= self.complete_until(), "something would be missing");
        let mut writer = self.writer();
        let (users, complete_until) = (fresh.new_rows().next_user(), fresh.complete_until());
        *writer = fresh.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.file.exchanged(fresh.file.damage());
        let tables = fresh.database.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = tables;
        drop(writer);
        self.now_has(users, complete_until);
        self.file.mended();
        if complete_until > Revision::ZERO {
            self.install_new_file();
        } else {
            self.opener.install_if_no_current(self);
        }
    }

    /// Puts a file that was being made in the place of the one before, now that it is whole. If
    /// that is not possible, it stays where it is, and the next start finds it there.
    pub fn install_new_file(&self) {
        let mut writer = self.writer();
        if writer.place != TablesLocation::New || !writer.may_install {
            return;
        }
        match self.opener.files.put_in_place() {
            Ok(()) => writer.place = TablesLocation::Current,
            Err(error) => {
                writer.may_install = false;
                let stays = self.opener.files.name(FileRole::New).display();
                let why = why(&error);
                tracing::warn!(%stays, why, "the rebuilt index cannot replace the old one");
            }
        }
    }
}
