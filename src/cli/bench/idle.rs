//! What a stream costs the server that nothing is sent on.

use std::time::Duration;

use tokio::time::sleep;

use super::table::Row;
use super::watchers::Watchers;
use super::{Name, machine};
use crate::cli::{Error, number};
use crate::client::Client;

/// How long the server has to come to rest before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures the memory that process `pid`, which serves `address`, takes for each of so many idle
/// streams; `None` if the machine does not say. Memory that it has for earlier streams is used
/// again, so only a fresh server gives a true figure.
pub(super) async fn measure(
    name: Name,
    address: &str,
    pid: u32,
    streams: u64,
    connections: usize,
) -> Result<Option<Row>, Error> {
    // One connection and one call, so that what is there once is not counted.
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
    Ok(Some(Row { kb_each: Some(kb_each), ..Row::new(name, what) }))
}
