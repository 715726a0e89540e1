//! The API keys that the nodes of a log share: the store has them, and each node has them in its data folder, too, where
//! it reads them also while the store is away. Never makes, ends or reads a key.

use std::path::{Path, PathBuf};

use super::Error;
use crate::auth::{KeyTable, KeyTableError};
use crate::storage::{Roster, SharedKeys};

/// The keys in the data folder of a node.
#[derive(Debug)]
pub(super) struct KeyCopy {
    data_dir: PathBuf,
    /// The version that is there.
    known: Option<u64>,
}

impl KeyCopy {
    /// Takes over those of the store. If it has none yet, it gets those of the folder: of a server that was alone before.
    pub(super) fn begin(data_dir: &Path, roster: &mut dyn Roster) -> Result<Self, Error> {
        let mut copy = Self { data_dir: data_dir.to_owned(), known: None };
        if let Some(own) = data_dir.read().map_err(of_folder)?
            && roster.keys(None)?.is_none()
            && roster.replace_keys(None, &own)?
        {
            tracing::info!("the API keys of the data folder are those of all nodes now");
        }
        if let Some(keys) = roster.keys(None)? {
            copy.take(&keys).map_err(of_folder)?;
        }
        Ok(copy)
    }

    /// The version that the folder has.
    pub(super) fn known(&self) -> Option<u64> {
        self.known
    }

    /// Writes `keys` into the folder, where the server finds them within a second.
    pub(super) fn take(&mut self, keys: &SharedKeys) -> Result<(), KeyTableError> {
        let is_there = self.data_dir.read()?.as_ref() == Some(&keys.table);
        if !is_there {
            self.data_dir.change(&mut |_| Ok(keys.table.clone()))?;
        }
        self.known = Some(keys.version);
        Ok(())
    }
}

fn of_folder(error: KeyTableError) -> Error {
    Error::Authentication(error.into())
}
