//! Publishing as fast as possible, between two measurements of the cheapest call of the same
//! server; and a thousand posts of a thousand users at once. Never reads or watches.

use std::time::{Duration, Instant};

use super::{Run, Stand};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, closed_loop, so_many};
use crate::machine;

/// Length of the warm-up of connections and caches.
const WARM_UP: Duration = Duration::from_millis(300);
/// The part of a round's time for each measurement of the cheapest call.
const FLOOR_PART: f64 = 0.4;

pub(super) async fn measure(run: &mut Run) {
    let data = Data::ring(run.sizes.users, run.sizes.followees);
    let stands = run.start("publish", &run.publishers(), &data).await;
    for in_flight in run.sizes.in_flight.clone() {
        let x = in_flight as f64;
        let mut ready = Vec::new();
        for stand in &stands {
            match warm(stand, in_flight, run).await {
                Ok(callers) => ready.push((stand, callers)),
                Err(error) => run.failed("publish", stand.kind, x, &error),
            }
        }
        for _ in 0..run.sizes.rounds {
            for (stand, callers) in &ready {
                let measured = round(stand, callers, in_flight, run).await;
                run.note("publish", stand.kind, x, measured);
            }
        }
    }
    for round in 0..=run.sizes.rounds * 2 {
        for stand in &stands {
            let measured = thousand(stand, run.sizes.thousand).await;
            // The first round warms up and does not count.
            if round > 0 {
                run.note("thousand", stand.kind, run.sizes.thousand as f64, measured);
            }
        }
    }
}

async fn warm(stand: &Stand, in_flight: usize, run: &Run) -> Result<Callers, Error> {
    let callers = stand.system.callers(in_flight).await?;
    let users = run.sizes.users;
    closed_loop(&callers, in_flight, WARM_UP.min(run.sizes.time), move |caller| async move {
        caller.publish(fastrand::u32(..users), data::next_post()).await.map(drop)
    })
    .await?;
    Ok(callers)
}

async fn round(
    stand: &Stand,
    callers: &Callers,
    in_flight: usize,
    run: &Run,
) -> Result<Vec<(&'static str, f64)>, Error> {
    let (time, users) = (run.sizes.time, run.sizes.users);
    let floor = || {
        closed_loop(callers, in_flight, time.mul_f64(FLOOR_PART), |caller| async move {
            caller.floor().await
        })
    };
    let before = floor().await?;
    let cpu = machine::cpu_time(stand.system.server().pid());
    let load = closed_loop(callers, in_flight, time, move |caller| async move {
        caller.publish(fastrand::u32(..users), data::next_post()).await.map(drop)
    })
    .await?;
    let cpu = machine::cpu_time(stand.system.server().pid()) - cpu;
    let after = floor().await?;
    Ok(vec![
        ("per_s", load.per_s),
        ("p50_us", load.latencies.quantile_us(0.5)),
        ("p99_us", load.latencies.quantile_us(0.99)),
        ("cpu_us", cpu.as_secs_f64() * 1e6 / load.calls as f64),
        ("floor_per_s", f64::midpoint(before.per_s, after.per_s)),
    ])
}

async fn thousand(stand: &Stand, posts: u64) -> Result<Vec<(&'static str, f64)>, Error> {
    let callers = stand.system.callers(posts as usize).await?;
    let first = data::next_post();
    let begun = Instant::now();
    so_many(&callers, posts as usize, posts, move |caller, number| async move {
        // Numbers greater than those of `next_post`, each used once.
        caller.publish(number as u32, (first << 16) | number).await.map(drop)
    })
    .await?;
    Ok(vec![("seconds", begun.elapsed().as_secs_f64())])
}
