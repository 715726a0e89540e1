//! Reading the newest 50 items of a feed, with few and with many followees, one call at a time.
//! Whimbrel is compared with a call that does nothing and returns as many bytes; peers never are.

use std::time::Duration;

use super::{Run, Stand};
use crate::data::Data;
use crate::error::Error;
use crate::load::{Callers, closed_loop};
use crate::machine;
use crate::peer::{Floor, FloorCalls, Kind};
use crate::stats::Latencies;

/// Systems with feeds.
const KINDS: [Kind; 6] = [
    Kind::Whimbrel,
    Kind::Redis,
    Kind::RedisHydrated,
    Kind::Postgres,
    Kind::PostgresTimeline,
    Kind::Axum,
];
/// Items of a full page.
const ITEMS: usize = 50;

pub(super) async fn measure(run: &mut Run) {
    let authors = run.sizes.feed_authors;
    let followees = run.sizes.feed_followees.clone();
    let edges = followees.iter().enumerate().flat_map(|(reader, followees)| {
        // Spread over the authors, who publish in turn.
        let step = authors / followees;
        (0..*followees).map(move |number| (authors + reader as u32, number * step))
    });
    let (edges, posts) = (edges.collect(), run.sizes.feed_posts);
    let data = Data { edges, posts, authors: 0..authors, ..Data::default() };
    let kinds = run.kinds_of(&KINDS);
    let stands = run.start("feed", &kinds, &data).await;
    let floor = match calls_of_floor(run).await {
        Ok(floor) => floor,
        Err(error) => return run.failed("feed", Kind::Whimbrel, 0.0, &error),
    };
    let mut ready = Vec::new();
    for stand in &stands {
        match stand.system.callers(1).await {
            Ok(callers) => ready.push((stand, callers)),
            Err(error) => run.failed("feed", stand.kind, 0.0, &error),
        }
    }
    for (reader, followees) in followees.into_iter().enumerate() {
        let reader = authors + reader as u32;
        for round in 0..=run.sizes.rounds {
            for (stand, callers) in &ready {
                let measured = read(stand, callers, reader, run.sizes.time, &floor).await;
                // The first round warms up and does not count.
                if round > 0 {
                    run.note("feed", stand.kind, f64::from(followees), measured);
                }
            }
        }
    }
}

/// A server that does nothing, and a client of it. The server ends when it is dropped.
async fn calls_of_floor(run: &Run) -> Result<(Floor, FloorCalls), Error> {
    let floor = Floor::start(&run.programs).await?;
    let calls = floor.calls().await?;
    Ok((floor, calls))
}

async fn read(
    stand: &Stand,
    callers: &Callers,
    reader: u32,
    time: Duration,
    (_, floor): &(Floor, FloorCalls),
) -> Result<Vec<(&'static str, f64)>, Error> {
    let caller = callers.first().ok_or(Error::NotOffered("nobody calls"))?;
    let items = caller.feed(reader).await?;
    if items != ITEMS {
        return Err(Error::Failed(format!("a page has {items} items")));
    }
    let cpu = machine::cpu_time(stand.system.server().pid());
    let load = closed_loop(callers, 1, time.mul_f64(0.5), move |caller| async move {
        caller.feed(reader).await.map(drop)
    })
    .await?;
    let cpu = machine::cpu_time(stand.system.server().pid()) - cpu;
    let mut figures = vec![
        ("p50_us", load.latencies.quantile_us(0.5)),
        ("p99_us", load.latencies.quantile_us(0.99)),
        ("cpu_us", cpu.as_secs_f64() * 1e6 / load.calls as f64),
    ];
    if stand.kind == Kind::Whimbrel {
        let bytes = caller.feed_bytes(reader).await?;
        let nothing = do_nothing(floor, bytes, time.mul_f64(0.5)).await?;
        figures.push(("bytes", bytes as f64));
        figures.push(("floor_p50_us", nothing.quantile_us(0.5)));
        figures.push(("floor_p99_us", nothing.quantile_us(0.99)));
    }
    Ok(figures)
}

async fn do_nothing(floor: &FloorCalls, bytes: usize, time: Duration) -> Result<Latencies, Error> {
    let mut latencies = Latencies::new();
    let started = std::time::Instant::now();
    while started.elapsed() < time {
        let begun = std::time::Instant::now();
        floor.echo(bytes).await?;
        latencies.record(begun.elapsed());
    }
    Ok(latencies)
}
