//! Cost by data: the same small work on servers with more and more data. All servers run at once
//! and are measured in turns, so that the figures never differ by the time of the measurement.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{IN_FLIGHT, Run, latency};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, closed_loop};
use crate::machine;
use crate::peer::{Kind, System, Whimbrel, restart_in_order, restart_killed};
use crate::watchers::{Watch, Watchers};

/// Followees of each user, and posts of each user.
const EACH: u32 = 5;
/// Followees of the user whose feed is read and watched, at any size.
const READER_FOLLOWEES: u32 = 100;
/// Most restarts of each size: the greatest takes long.
const RESTARTS_MAX: usize = 3;
/// The rate at which latencies are measured.
const RATE_PER_S: f64 = 1_000.0;

/// A server with the data of `users` users.
struct Size {
    users: u32,
    system: Arc<dyn System>,
    callers: Callers,
    watching: Watchers,
}

pub(super) async fn measure(run: &mut Run) {
    if !run.kinds.contains(&Kind::Whimbrel) {
        return;
    }
    let mut sizes = Vec::new();
    for users in run.sizes.growth_users.clone() {
        match grow(run, users).await {
            Ok(size) => sizes.push(size),
            Err(error) => run.failed("growth", Kind::Whimbrel, events(users), &error),
        }
    }
    for _ in 0..run.sizes.rounds {
        for size in &sizes {
            let measured = round(run, size).await;
            run.note("growth", Kind::Whimbrel, events(size.users), measured);
        }
    }
}

/// The number of edges and posts.
fn events(users: u32) -> f64 {
    f64::from(users) * f64::from(2 * EACH)
}

/// Loads a server, and makes the measurements that are made once.
async fn grow(run: &mut Run, users: u32) -> Result<Size, Error> {
    let ring = Data::ring(users, EACH);
    let reader = (0..READER_FOLLOWEES).map(|followee| (users, followee));
    let edges = ring.edges.into_iter().chain(reader).collect();
    let posts = u64::from(users * EACH);
    let data = Data { edges, posts, authors: 0..users, ..Data::default() };
    let system: Arc<dyn System> = Arc::new(Whimbrel::start(&run.programs, &data).await?);
    drop(data);
    restart_in_order(&*system).await?;
    for _ in 0..run.sizes.rounds.min(RESTARTS_MAX) {
        let took = restart_killed(&*system).await?;
        let figures = vec![("restart_seconds", took.as_secs_f64())];
        run.note("growth", Kind::Whimbrel, events(users), Ok(figures));
    }
    sleep(run.sizes.settle).await;
    let memory = machine::memory_bytes(system.server().pid());
    let disk = machine::disk_bytes(&system.tables()) as f64;
    let figures = vec![("memory_bytes", memory), ("disk_bytes", disk)];
    run.note("growth", Kind::Whimbrel, events(users), Ok(figures));

    let callers = system.callers(IN_FLIGHT).await?;
    let authors = (0..READER_FOLLOWEES).collect();
    let watch = Watch { user: users, authors, cursor: None };
    let watching = Watchers::open(&system, vec![watch], 1).await?;
    Ok(Size { users, system, callers, watching })
}

async fn round(run: &Run, size: &Size) -> Result<Vec<(&'static str, f64)>, Error> {
    let (users, time) = (size.users, run.sizes.time);
    let half = time.mul_f64(0.5);
    let cpu = machine::cpu_time(size.system.server().pid());
    // By authors that the watcher does not follow.
    let load = closed_loop(&size.callers, IN_FLIGHT, half, move |caller| async move {
        let author = fastrand::u32(READER_FOLLOWEES.min(users - 1)..users);
        caller.publish(author, data::next_post()).await.map(drop)
    })
    .await?;
    let cpu = machine::cpu_time(size.system.server().pid()) - cpu;
    let feed = closed_loop(&size.callers, 1, half, move |caller| async move {
        caller.feed(users).await.map(drop)
    })
    .await?;
    let authors = (0, READER_FOLLOWEES.min(users));
    let time = time.max(Duration::from_millis(500));
    let timed = latency::at_rate(&size.callers, &size.watching, authors, RATE_PER_S, time).await?;
    Ok(vec![
        ("publish_per_s", load.per_s),
        ("publish_cpu_us", cpu.as_secs_f64() * 1e6 / load.calls as f64),
        ("feed_p50_us", feed.latencies.quantile_us(0.5)),
        ("feed_p99_us", feed.latencies.quantile_us(0.99)),
        ("delivery_p50_us", timed.delivered.quantile_us(0.5)),
        ("delivery_p99_us", timed.delivered.quantile_us(0.99)),
        ("lost", timed.lost as f64),
    ])
}
