//! `whimbrel log copy`: a log of one machine becomes one of several nodes, and the reverse. Never changes the log that is
//! copied.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::json;

use super::backup::ByteProgress;
use super::json::JsonLine;
use super::number::counted;
use super::store::StoreAccessArgs;
use super::{Error, Output};
use crate::auth::KeyTable;
use crate::config::Limits;
use crate::storage::{
    self, CopiedLog, LogOptions, PostgresRoster, Roster, StoreAddress, StoreOptions,
};

/// Move a log.
#[derive(Debug, Subcommand)]
pub(super) enum LogVerb {
    Copy(CopyArgs),
}

/// Copy a log from a data folder into PostgreSQL, so that several nodes serve it, or back.
///
/// No server may use either. Every record is copied as it is, and read back: ids, cursors and page tokens stay valid. A copy into
/// PostgreSQL that was interrupted is gone on with. `serve --store` then takes the data folder of the former server for one of a
/// node.
#[derive(Args, Debug)]
pub(super) struct CopyArgs {
    /// The log: a data folder, or postgres://USER@HOST:PORT/DATABASE?schema=NAME.
    #[arg(long, value_name = "PLACE")]
    from: Place,
    /// Where to copy it: one of the two, empty or not there. The data folder of a node may be there, too: it then has the log
    /// alone.
    #[arg(long, value_name = "PLACE")]
    to: Place,
    #[command(flatten)]
    access: StoreAccessArgs,
}

/// Where a log is.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Store(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            text.parse::<StoreAddress>().map_err(|error| error.to_string())?;
            return Ok(Self::Store(text.to_owned()));
        }
        match text.contains("://") {
            true => Err("is neither a folder nor postgres://USER@HOST:PORT/DATABASE".to_owned()),
            false => Ok(Self::Folder(text.into())),
        }
    }
}

impl LogVerb {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Copy(copy) => copy.run(output),
        }
    }
}

impl CopyArgs {
    fn run(self, output: &Output) -> Result<(), Error> {
        let store = |address: &str| {
            let store = self.access.store(address.to_owned());
            StoreOptions::try_from(store).map_err(|error| Error::Usage(error.to_string()))
        };
        let (from, to, copied) = match (&self.from, &self.to) {
            (Place::Folder(folder), Place::Store(address)) => {
                let copied = into_store(folder, &store(address)?, *output)?;
                (folder.display().to_string(), "PostgreSQL", copied)
            }
            (Place::Store(address), Place::Folder(folder)) => {
                let store = store(address)?;
                let copied = storage::copy_out_of_store(folder, options(), &store)?;
                copy_keys(folder, store)?;
                ("PostgreSQL".to_owned(), "a log of its own", copied)
            }
            _ => {
                return Err(Error::Usage(
                    "of --from and --to one must be a folder and the other postgres://…: `whimbrel backup` and `restore` copy \
                     a folder, and two copies go from one PostgreSQL to another"
                        .to_owned(),
                ));
            }
        };
        let CopiedLog { id, head, chain } = copied;
        let events = counted(head.get(), "event");
        output.print(
            || format!("copied {events} of {from}, now {to}: log {id}, chain {chain}"),
            || {
                let copied = json!({ "logId": id.to_string(), "revision": head.get(), "chain": chain.to_string() });
                JsonLine("copied", copied)
            },
        )
    }
}

/// Those of a server without other settings.
fn options() -> LogOptions {
    let limits = Limits::default();
    LogOptions {
        disk_free_bytes_min: limits.disk_free_bytes_min,
        segment_bytes_max: limits.log_segment_bytes_max,
    }
}

/// The API keys of the nodes become those of the server with the folder.
fn copy_keys(folder: &Path, store: StoreOptions) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::NotAllDone(error.to_string());
    if let Some(keys) = PostgresRoster::new(store).map_err(failed)?.keys(None)? {
        folder.change(&mut |_| Ok(keys.table.clone()))?;
    }
    Ok(())
}

fn into_store(folder: &Path, store: &StoreOptions, output: Output) -> Result<CopiedLog, Error> {
    let progress = ByteProgress::counting("copying", "events written and read", output);
    let mut show = |done, all| progress.show(done, all);
    let copied = storage::copy_into_store(folder, options(), store, &mut show);
    progress.end();
    Ok(copied?)
}
