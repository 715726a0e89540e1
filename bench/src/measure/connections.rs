//! A Whimbrel server with very many idle connections, each with a watcher: what one takes, what
//! keeping it alive costs, whether posts of others still come as soon, and how long a stop takes. No
//! peer is measured here.

use std::time::Instant;

use rustix::process::Signal;
use tokio::time::sleep;

use super::audience::{OTHERS, OTHERS_PER_S, others};
use super::{IN_FLIGHT, Run, Stand, latency};
use crate::data::Data;
use crate::error::Error;
use crate::machine;
use crate::peer::Kind;
use crate::watchers::{Watch, Watchers};

/// Connections that are opened at once by each thread.
const OPENING: usize = 8;
/// Open files of a process that are no connections of the crowd.
const OTHER_FILES: u64 = 300;

pub(super) async fn measure(run: &mut Run) {
    let files_max = machine::files_max().saturating_sub(OTHER_FILES);
    let count = u64::from(run.sizes.connections).min(files_max) as u32;
    if count < run.sizes.connections {
        eprintln!("connections: {count}, because of the limit of open files: see ulimit -n");
    }
    // Each connection has a watcher, who follows a user without posts.
    let idle = (1..=count).map(|watcher| (watcher, 0));
    let small = others(count)
        .flat_map(|watch| (0..watch.authors.len()).map(move |at| (watch.user, watch.authors[at])));
    let data = Data { edges: idle.chain(small).collect(), ..Data::default() };
    for kind in run.kinds_of(&[Kind::Whimbrel]) {
        for stand in run.start("connections", &[kind], &data).await {
            let measured = crowd(run, &stand, count).await;
            run.note("connections", kind, f64::from(count), measured);
        }
    }
}

async fn crowd(run: &Run, stand: &Stand, count: u32) -> Result<Vec<(&'static str, f64)>, Error> {
    let pid = stand.system.server().pid();
    let callers = stand.system.callers(IN_FLIGHT).await?;
    let small = Watchers::open(&stand.system, others(count).collect(), 1).await?;
    let at_rate = || {
        let authors = (count + 1, OTHERS);
        latency::at_rate(&callers, &small, authors, OTHERS_PER_S, run.sizes.audience_time)
    };
    let alone = at_rate().await?;

    sleep(run.sizes.settle).await;
    let (memory, kernel) = (machine::memory_bytes(pid), machine::kernel_bytes());
    let watch = |user| Watch { user, authors: [0].into(), cursor: None };
    let watches = (1..=count).map(watch).collect();
    let opened = Instant::now();
    let idle = Watchers::open_at_once(&stand.system, watches, count as usize, OPENING).await?;
    let open_seconds = opened.elapsed().as_secs_f64();
    sleep(run.sizes.settle).await;
    let each = |after: f64, before: f64| (after - before) / f64::from(count);
    let memory = each(machine::memory_bytes(pid), memory);
    // Both ends of each connection are on this machine.
    let kernel = each(machine::kernel_bytes(), kernel) / 2.0;

    let cpu_before = machine::cpu_time(pid);
    sleep(run.sizes.connections_time).await;
    let cpu = machine::cpu_time(pid) - cpu_before;
    let among = at_rate().await?;
    let stopped = Instant::now();
    stand.system.server().stop(Signal::TERM).await?;
    let stop_seconds = stopped.elapsed().as_secs_f64();
    drop(idle);
    Ok(vec![
        ("bytes_each", memory),
        ("kernel_bytes_each", kernel),
        ("open_seconds", open_seconds),
        ("idle_cpu_ms_per_s", cpu.as_secs_f64() * 1e3 / run.sizes.connections_time.as_secs_f64()),
        ("alone_p50_us", alone.delivered.quantile_us(0.5)),
        ("alone_p99_us", alone.delivered.quantile_us(0.99)),
        ("p50_us", among.delivered.quantile_us(0.5)),
        ("p99_us", among.delivered.quantile_us(0.99)),
        ("lost", (alone.lost + among.lost) as f64),
        ("stop_seconds", stop_seconds),
    ])
}
