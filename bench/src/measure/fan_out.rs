//! Fan-out: one author, many watchers, every post to each of them, as fast as possible. First with
//! the watchers on a few connections, then on one each. Never waits for a delivery before the next
//! post.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{IN_FLIGHT, Run, Stand};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, lock, so_many};
use crate::machine;
use crate::watchers::{Watch, Watchers};

/// Wait after the last expected delivery: a second one may follow.
const GRACE: Duration = Duration::from_millis(50);
/// No post is begun later: some systems would take minutes for all.
const TIME_MAX: Duration = Duration::from_secs(2);

pub(super) async fn measure(run: &mut Run) {
    let watchers = run.sizes.watchers;
    let data =
        Data { edges: (1..=watchers).map(|watcher| (watcher, 0)).collect(), ..Data::default() };
    let settings =
        [("fan_out_shared", run.sizes.shared_connections), ("fan_out_own", watchers as usize)];
    for (name, connections) in settings {
        // New servers: state of earlier watchers must not slow them.
        let stands = run.start(name, &run.publishers(), &data).await;
        let mut ready = Vec::new();
        for stand in &stands {
            match open(stand, watchers, connections).await {
                Ok((callers, watching)) => ready.push((stand, callers, watching)),
                Err(error) => run.failed(name, stand.kind, f64::from(watchers), &error),
            }
        }
        for round in 0..=run.sizes.rounds {
            for (stand, callers, watching) in &ready {
                let measured = fan_out(stand, callers, watching, run).await;
                // The first round warms up and does not count.
                if round > 0 {
                    run.note(name, stand.kind, f64::from(watchers), measured);
                }
            }
        }
    }
}

pub(super) async fn open(
    stand: &Stand,
    watchers: u32,
    connections: usize,
) -> Result<(Callers, Watchers), Error> {
    let callers = stand.system.callers(IN_FLIGHT).await?;
    let authors: Arc<[u32]> = Arc::new([0]);
    let watch = |user| Watch { user, authors: Arc::clone(&authors), cursor: None };
    let watches = (1..=watchers).map(watch).collect();
    Ok((callers, Watchers::open(&stand.system, watches, connections).await?))
}

pub(super) async fn fan_out(
    stand: &Stand,
    callers: &Callers,
    watching: &Watchers,
    run: &Run,
) -> Result<Vec<(&'static str, f64)>, Error> {
    watching.clear();
    let keys = Arc::new(Mutex::new(HashMap::new()));
    let published = Arc::clone(&keys);
    let cpu = machine::cpu_time(stand.system.server().pid());
    let started = Instant::now();
    so_many(callers, IN_FLIGHT, run.sizes.fan_out_posts, move |caller, _| {
        let published = Arc::clone(&published);
        async move {
            if started.elapsed() < TIME_MAX {
                let key = caller.publish_live(0, data::next_post()).await?;
                lock(&published).insert(key, ());
            }
            Ok(())
        }
    })
    .await?;
    let keys = std::mem::take(&mut *lock(&keys));
    watching.wait_for(keys.len() as u64 * u64::from(run.sizes.watchers)).await;
    let cpu = machine::cpu_time(stand.system.server().pid()) - cpu;
    sleep(GRACE).await;
    let deliveries = watching.received() as f64;
    let took = watching.last().unwrap_or(started) - started;
    Ok(vec![
        ("per_s", deliveries / took.as_secs_f64().max(f64::EPSILON)),
        ("cpu_us", cpu.as_secs_f64() * 1e6 / deliveries),
        ("lost", watching.lost(&keys) as f64),
        ("posts", keys.len() as f64),
    ])
}
