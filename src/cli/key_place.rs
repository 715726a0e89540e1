//! Where `whimbrel key` keeps API keys: in a data folder, or in the store of a log that several nodes share. Never knows
//! what a key is.

use std::cell::RefCell;
use std::path::PathBuf;

use clap::Args;

use super::Error;
use super::store::StoreAccessArgs;
use crate::auth::{KeyTable, KeyTableError, TableChange};
use crate::storage::{
    self, PostgresLog, PostgresRoster, Roster, SharedKeys, StoreAddress, StoreOptions, is_copy,
};

/// The place with the keys.
#[derive(Args, Debug)]
pub(super) struct KeyPlaceArgs {
    /// The data folder of the server.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
    /// The log of the nodes, as `serve --store` has it: all of them know its keys.
    #[arg(long, env = "WHIMBREL_STORE", value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    access: StoreAccessArgs,
}

/// The keys in a store.
struct StoredKeys(RefCell<PostgresRoster>);

impl KeyPlaceArgs {
    /// The table there.
    pub(super) fn table(&self) -> Result<Box<dyn KeyTable>, Error> {
        let Some(address) = &self.store else {
            if is_copy(&self.data)? {
                let what = format!(
                    "{} is the data folder of a node, and its keys are those of all nodes: give --store",
                    self.data.display()
                );
                return Err(Error::Usage(what));
            }
            return Ok(Box::new(self.data.clone()));
        };
        let parsed = address.parse::<StoreAddress>();
        parsed.map_err(|error| Error::Usage(format!("--store {error}")))?;
        let store = StoreOptions::try_from(self.access.store(address.clone()))
            .map_err(|error| Error::Usage(error.to_string()))?;
        PostgresLog::prepare(&store)?;
        let failed = |error: std::io::Error| Error::NotAllDone(error.to_string());
        let roster = PostgresRoster::new(store).map_err(failed)?;
        Ok(Box::new(StoredKeys(RefCell::new(roster))))
    }
}

fn shared(error: storage::Error) -> KeyTableError {
    KeyTableError::Shared(Box::new(error))
}

impl KeyTable for StoredKeys {
    fn read(&self) -> Result<Option<Vec<u8>>, KeyTableError> {
        let keys = self.0.borrow_mut().keys(None).map_err(shared)?;
        Ok(keys.map(|keys| keys.table))
    }

    fn change(&self, make: TableChange<'_>) -> Result<(), KeyTableError> {
        let mut roster = self.0.borrow_mut();
        loop {
            let there: Option<SharedKeys> = roster.keys(None).map_err(shared)?;
            let table = make(there.as_ref().map(|keys| &*keys.table))?;
            let known = there.map(|keys| keys.version);
            // Somebody else's change came first: this one is made of that.
            if roster.replace_keys(known, &table).map_err(shared)? {
                return Ok(());
            }
        }
    }

    fn name(&self) -> String {
        "what PostgreSQL has".to_owned()
    }
}
