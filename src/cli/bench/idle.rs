//! The idle measurements: the memory that the server uses for a stream without events. Never
//! publishes.

use std::time::Duration;

use tokio::time::sleep;

use super::table::TableRow;
use super::watchers::Watchers;
use super::{Measurement, machine};
use crate::cli::{Error, number};
use crate::client::Client;

/// Wait before the server's memory is read, so that it has become idle.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures the memory of process `pid`, which serves `address`, for each of `streams` idle
/// streams; `None` if the memory cannot be read. The server reuses the memory of earlier streams,
/// so only a new server gives a correct figure.
pub(super) async fn measure(
    name: Measurement,
    address: &str,
    pid: u32,
    streams: u64,
    connections: usize,
) -> Result<Option<TableRow>, Error> {
    // A first connection and call, so that memory that is allocated once is not counted.
    Client::connect(address).await?.check_health().await?;
    sleep(SETTLE).await;
    let before = machine::resident_kib(pid);

    let run = fastrand::u32(..);
    let users = (0..streams).map(|number| format!("bench-{run:08x}-idle{number}"));
    let watchers = Watchers::open(address, users, connections).await?;
    sleep(SETTLE).await;
    let after = machine::resident_kib(pid);
    drop(watchers);

    let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
    let kb_each = (after as f64 - before as f64) / streams as f64;
    let (streams, on) = (number::grouped(streams), number::grouped(connections as u64));
    let what = format!("{streams} idle streams on {on} conns");
    Ok(Some(TableRow { kb_each: Some(kb_each), ..TableRow::new(name, what) }))
}
