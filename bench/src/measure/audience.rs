//! Cost by audience: one post to a growing number of watchers, who all follow its author. At the
//! greatest number also its effect on posts of small authors. Never measures more than one system
//! at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{IN_FLIGHT, Run, Stand, latency};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::Callers;
use crate::machine;
use crate::peer::Kind;
use crate::stats::{Latencies, median};
use crate::watchers::{Watch, Watchers};

/// Systems whose watchers can share connections: no machine has 100,000 free ports.
const KINDS: [Kind; 2] = [Kind::Whimbrel, Kind::Nats];
/// Watchers of one connection.
const PER_CONNECTION: u32 = 1_000;
/// Connections that are opened at once by each thread.
const OPENING: usize = 8;
/// Posts to all watchers.
const POSTS: usize = 5;
/// Small authors. Each has one follower, of a few other watchers.
pub(super) const OTHERS: u32 = 100;
const OTHERS_WATCHERS: u32 = 10;
pub(super) const OTHERS_PER_S: f64 = 500.0;
/// Time between two posts to all watchers.
const POST_INTERVAL: Duration = Duration::from_millis(800);

pub(super) async fn measure(run: &mut Run) {
    let most = run.sizes.audience.iter().copied().max().unwrap_or_default();
    let watchers = (1..=most).map(|watcher| (watcher, 0));
    let others = others(most)
        .flat_map(|watch| (0..watch.authors.len()).map(move |at| (watch.user, watch.authors[at])));
    let data = Data { edges: watchers.chain(others).collect(), ..Data::default() };
    let kinds = run.kinds_of(&KINDS);
    for kind in kinds {
        // One system at a time: each takes the memory and all ports of the machine.
        for stand in run.start("audience", &[kind], &data).await {
            if let Err(error) = grow(run, &stand, most).await {
                run.failed("audience", kind, f64::from(most), &error);
            }
        }
    }
}

/// The watchers of the small authors, who come after user `most`.
pub(super) fn others(most: u32) -> impl Iterator<Item = Watch> {
    let each = OTHERS / OTHERS_WATCHERS;
    let first = most + 1;
    (0..OTHERS_WATCHERS).map(move |watcher| {
        let authors = first + watcher * each..first + (watcher + 1) * each;
        Watch { user: first + OTHERS + watcher, authors: authors.collect(), cursor: None }
    })
}

async fn grow(run: &mut Run, stand: &Stand, most: u32) -> Result<(), Error> {
    let pid = stand.system.server().pid();
    let callers = stand.system.callers(IN_FLIGHT).await?;
    for caller in &callers {
        caller.floor().await?;
    }
    sleep(run.sizes.settle).await;
    let before = machine::memory_bytes(pid);
    let mut watching: Vec<Watchers> = Vec::new();
    let mut opened = 0;
    for size in run.sizes.audience.clone() {
        let connections = (size - opened).div_ceil(PER_CONNECTION) as usize;
        let authors: Arc<[u32]> = Arc::new([0]);
        let watch = |user| Watch { user, authors: Arc::clone(&authors), cursor: None };
        let watches = (opened + 1..=size).map(watch).collect();
        // Earlier watchers stay: otherwise new ones would reuse their memory.
        watching.push(Watchers::open_at_once(&stand.system, watches, connections, OPENING).await?);
        opened = size;
        sleep(run.sizes.settle).await;
        let memory = machine::memory_bytes(pid);
        let mut figures = post_to_all(&callers, &watching, size).await?;
        figures.push(("bytes_each", (memory - before) / f64::from(size)));
        run.note("audience", stand.kind, f64::from(size), Ok(figures));
    }
    let small = during_small_posts(run, stand, &callers, &watching).await;
    run.note("small_posts", stand.kind, f64::from(most), small);
    Ok(())
}

/// Publishes posts to all watchers, one at a time.
async fn post_to_all(
    callers: &Callers,
    watching: &[Watchers],
    size: u32,
) -> Result<Vec<(&'static str, f64)>, Error> {
    let caller = callers.first().ok_or(Error::NotOffered("nobody calls"))?;
    let (mut last_ms, mut answers_us, mut lost) = (Vec::new(), Vec::new(), 0);
    for _ in 0..POSTS {
        watching.iter().for_each(Watchers::clear);
        let begun = Instant::now();
        let key = caller.publish_live(0, data::next_post()).await?;
        answers_us.push(begun.elapsed().as_secs_f64() * 1e6);
        wait_for_each(watching, 1, size).await;
        let last = watching.iter().filter_map(Watchers::last).max().unwrap_or(begun);
        last_ms.push((last - begun).as_secs_f64() * 1e3);
        let expected = HashMap::from([(key, ())]);
        lost += watching.iter().map(|watching| watching.lost(&expected)).sum::<u64>();
    }
    Ok(vec![
        ("last_ms", median(&last_ms)),
        ("answer_us", median(&answers_us)),
        ("lost", lost as f64),
    ])
}

/// Waits until all of `size` watchers have `posts` posts.
async fn wait_for_each(watching: &[Watchers], posts: u64, size: u32) {
    let mut missing = u64::from(size) * posts;
    for watchers in watching {
        let due = missing.min(watchers.len() as u64 * posts);
        watchers.wait_for(due).await;
        missing -= due;
    }
}

/// Posts of small authors at a rate, first alone and then during posts to all watchers.
async fn during_small_posts(
    run: &Run,
    stand: &Stand,
    callers: &Callers,
    watching: &[Watchers],
) -> Result<Vec<(&'static str, f64)>, Error> {
    let time = run.sizes.audience_time;
    let most = watching.iter().map(Watchers::len).sum::<usize>() as u32;
    // A connection, and so a thread, of their own: they must not wait for other readers.
    let small = Watchers::open(&stand.system, others(most).collect(), 1).await?;
    let at_rate = || latency::at_rate(callers, &small, (most + 1, OTHERS), OTHERS_PER_S, time);
    let alone = at_rate().await?;
    watching.iter().for_each(Watchers::clear);
    let (during, posted) = tokio::join!(at_rate(), post_every(stand, time));
    let (during, posted) = (during?, posted?);
    wait_for_each(watching, posted.len() as u64, most).await;
    let lost: u64 = watching.iter().map(|watching| watching.lost(&posted)).sum();
    let mut last = HashMap::<u64, Instant>::new();
    for watchers in watching {
        watchers.each(|_, log| {
            for delivery in log {
                let last = last.entry(delivery.key).or_insert(delivery.at);
                *last = (*last).max(delivery.at);
            }
        });
    }
    let mut last_ms: Vec<f64> = posted
        .iter()
        .filter_map(|(key, begun)| Some((*last.get(key)? - *begun).as_secs_f64() * 1e3))
        .collect();
    last_ms.sort_by(f64::total_cmp);
    let p99 = |latencies: &Latencies| latencies.quantile_us(0.99);
    Ok(vec![
        ("last_ms", median(&last_ms)),
        ("last_worst_ms", last_ms.last().copied().unwrap_or_default()),
        ("alone_p50_us", alone.delivered.quantile_us(0.5)),
        ("alone_p99_us", p99(&alone.delivered)),
        ("alone_answer_p99_us", p99(&alone.answered)),
        ("beside_p50_us", during.delivered.quantile_us(0.5)),
        ("beside_p99_us", p99(&during.delivered)),
        ("beside_answer_p99_us", p99(&during.answered)),
        ("beside_max_us", during.delivered.max_us()),
        ("lost", (lost + alone.lost + during.lost) as f64),
    ])
}

/// Publishes a post to all watchers every [`POST_INTERVAL`], on a connection of its own. Gives the
/// start of each publish by its key.
async fn post_every(stand: &Stand, time: Duration) -> Result<HashMap<u64, Instant>, Error> {
    let callers = stand.system.callers(1).await?;
    let caller = callers.first().ok_or(Error::NotOffered("nobody calls"))?;
    let mut posted = HashMap::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let begun = Instant::now();
        posted.insert(caller.publish_live(0, data::next_post()).await?, begun);
        sleep(POST_INTERVAL).await;
    }
    Ok(posted)
}
