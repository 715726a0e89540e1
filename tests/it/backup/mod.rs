//! Backups: taken while the server works, kept, checked, pruned, and restored. A restored server answers as
//! the one that is gone.

mod answers;
mod cut;
mod damage;
mod drill;
mod interrupted;
mod pruned;

use std::path::Path;

use tempfile::TempDir;
use whimbrel::backup::{self, Destination, Error, RestoreUntil, TakeOptions, Taken};
use whimbrel::client::Client;
use whimbrel::runtime::Clock;
use whimbrel::storage::{CheckedLog, RestoredLog, check_log};

use crate::harness::{Setup, TestServer};

/// A server whose segments are so small that a test has several.
fn setup() -> Setup {
    Setup::new()
}

fn destination(folder: &TempDir) -> Destination {
    Destination::Folder(folder.path().join("kept"))
}

async fn client(server: &TestServer) -> Client {
    Client::connect(&server.address().to_string()).await.unwrap()
}

/// Takes a backup of `server`.
async fn take(server: &TestServer, to: &Destination) -> Taken {
    try_take(server, to).await.unwrap()
}

async fn try_take(server: &TestServer, to: &Destination) -> Result<Taken, Error> {
    let client = client(server).await;
    backup::take(&client, to, TakeOptions::default(), &Clock::system(), &mut |_| {}).await
}

/// Restores the newest backup into `data`.
async fn restore(
    from: &Destination,
    until: RestoreUntil,
    data: &Path,
) -> Result<RestoredLog, Error> {
    backup::restore(from, None, until, data, &mut |_, _| {}).await.map(|(_, restored)| restored)
}

fn verified(data: &Path) -> CheckedLog {
    let log = check_log(data, &mut |_| {}).unwrap();
    assert_eq!((log.torn_bytes, log.not_erased), (0, None));
    log
}
