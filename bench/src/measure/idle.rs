//! Memory of an idle watcher, measured alike for all systems: what the server and its children take
//! by the kernel's account, before and after the watchers came. Each figure comes from a new server,
//! because a server reuses the memory of earlier streams. No post is ever published here.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Run, Stand};
use crate::data::Data;
use crate::error::Error;
use crate::machine;
use crate::peer::Kind;
use crate::watchers::{Watch, Watchers};

/// Systems with different costs: variants that only flush differently are left out.
const KINDS: [Kind; 6] =
    [Kind::Whimbrel, Kind::Nats, Kind::Jetstream, Kind::Redis, Kind::Postgres, Kind::Axum];

/// Most rounds: each starts a new server.
const ROUNDS_MAX: usize = 3;

pub(super) async fn measure(run: &mut Run) {
    let watchers = run.sizes.watchers;
    let edges = (1..=watchers).map(|watcher| (watcher, 0)).collect();
    let data = Data { edges, ..Data::default() };
    let kinds = run.kinds_of(&KINDS);
    for _ in 0..run.sizes.rounds.min(ROUNDS_MAX) {
        for kind in &kinds {
            let own = kind.watchers_max().map_or(watchers, |most| watchers.min(most));
            for (name, count, connections) in [
                ("idle_shared", watchers, run.sizes.shared_connections),
                ("idle_own", own, own as usize),
            ] {
                for stand in run.start(name, &[*kind], &data).await {
                    let measured = idle(run, &stand, count, connections).await;
                    run.note(name, *kind, f64::from(watchers), measured);
                }
            }
        }
    }
}

pub(super) async fn idle(
    run: &Run,
    stand: &Stand,
    watchers: u32,
    connections: usize,
) -> Result<Vec<(&'static str, f64)>, Error> {
    let pid = stand.system.server().pid();
    // One connection and one call first, so that memory that is needed only once does not count.
    let callers = stand.system.callers(1).await?;
    for caller in &callers {
        caller.floor().await?;
    }
    sleep(run.sizes.settle).await;
    let before = machine::memory_bytes(pid);
    let authors: Arc<[u32]> = Arc::new([0]);
    let watch = |user| Watch { user, authors: Arc::clone(&authors), cursor: None };
    let watches = (1..=watchers).map(watch).collect();
    let watching = Watchers::open(&stand.system, watches, connections).await?;
    sleep(run.sizes.settle).await;
    let after = machine::memory_bytes(pid);
    drop(watching);
    Ok(vec![("bytes_each", (after - before) / f64::from(watchers))])
}
