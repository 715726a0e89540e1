//! The time from a publish to its delivery at a fixed rate, in an open loop: each post has its own
//! due time, and both the answer and the delivery count from then, never from the sending.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{IN_FLIGHT, Run, Stand};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, lock, open_loop};
use crate::stats::Latencies;
use crate::watchers::{Watch, Watchers};

/// Watchers, on a connection each.
const WATCHERS: u32 = 25;
/// Followees of each watcher. No two watchers share one.
const AUTHORS_EACH: u32 = 40;
const AUTHORS: u32 = WATCHERS * AUTHORS_EACH;
/// Rounds are longer than in other measurements, for enough posts above the 99th percentile.
const TIME_FACTOR: f64 = 2.5;
/// A system with such a median time of its answers cannot keep up with the rate.
const BEHIND: Duration = Duration::from_millis(500);
/// Wait after the last expected delivery: a second one may follow.
const GRACE: Duration = Duration::from_millis(50);

/// The due time of each post, by revision or number.
type Due = HashMap<u64, Instant>;

/// The result of a round.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) answered: Latencies,
    pub(super) delivered: Latencies,
    pub(super) lost: u64,
}

pub(super) async fn measure(run: &mut Run) {
    let followers = (0..AUTHORS).map(|author| (AUTHORS + author / AUTHORS_EACH, author));
    let data = Data { edges: followers.collect(), ..Data::default() };
    let stands = run.start("latency", &run.publishers(), &data).await;
    let mut ready = Vec::new();
    for stand in &stands {
        match open(stand).await {
            Ok((callers, watching)) => ready.push((stand, callers, watching)),
            Err(error) => run.failed("latency", stand.kind, 0.0, &error),
        }
    }
    for per_s in run.sizes.rates_per_s.clone() {
        let mut behind = Vec::new();
        for round in 0..=run.sizes.rounds.div_ceil(2) {
            for (stand, callers, watching) in &ready {
                if behind.contains(&stand.kind) {
                    continue;
                }
                let time = run.sizes.time.mul_f64(TIME_FACTOR);
                let measured = at_rate(callers, watching, (0, AUTHORS), per_s, time).await;
                // More rounds of a system that cannot keep up show nothing new.
                let is_behind = measured.as_ref().is_ok_and(|timed| timed.is_behind());
                if is_behind {
                    behind.push(stand.kind);
                }
                // The first round warms up and does not count.
                if round > 0 || is_behind {
                    run.note("latency", stand.kind, per_s, measured.map(|timed| timed.figures()));
                }
            }
        }
    }
}

async fn open(stand: &Stand) -> Result<(Callers, Watchers), Error> {
    let callers = stand.system.callers(IN_FLIGHT).await?;
    let watch = |watcher: u32| Watch {
        user: AUTHORS + watcher,
        authors: (watcher * AUTHORS_EACH..(watcher + 1) * AUTHORS_EACH).collect(),
        cursor: None,
    };
    let watches = (0..WATCHERS).map(watch).collect();
    Ok((callers, Watchers::open(&stand.system, watches, WATCHERS as usize).await?))
}

/// Publishes at a rate by `authors` (the first, and their number) in turn. Each author has exactly
/// one follower in `watching`.
pub(super) async fn at_rate(
    callers: &Callers,
    watching: &Watchers,
    authors: (u32, u32),
    per_s: f64,
    time: Duration,
) -> Result<Timed, Error> {
    watching.clear();
    let posts = (per_s * time.as_secs_f64()).ceil() as u64;
    let published = Arc::new(Mutex::new((Due::new(), Latencies::new())));
    let noted = Arc::clone(&published);
    open_loop(callers, per_s, posts, move |caller, number, due| {
        let published = Arc::clone(&noted);
        async move {
            let author = authors.0 + (number % u64::from(authors.1)) as u32;
            let key = caller.publish_live(author, data::next_post()).await?;
            let mut published = lock(&published);
            published.0.insert(key, due);
            published.1.record(due.elapsed());
            Ok(())
        }
    })
    .await?;
    watching.wait_for(posts).await;
    sleep(GRACE).await;
    let mut published = lock(&published);
    let answered = std::mem::replace(&mut published.1, Latencies::new());
    let (delivered, lost) = delivered(watching, &published.0);
    Ok(Timed { answered, delivered, lost })
}

/// The latencies of the first deliveries, and the number of posts that were not delivered exactly
/// once.
fn delivered(watching: &Watchers, due: &Due) -> (Latencies, u64) {
    let mut latencies = Latencies::new();
    let mut open = due.clone();
    let mut twice = 0;
    watching.each(|_, log| {
        for delivery in log {
            match open.remove(&delivery.key) {
                Some(due) => latencies.record(delivery.at.saturating_duration_since(due)),
                None => twice += 1,
            }
        }
    });
    (latencies, open.len() as u64 + twice)
}

impl Timed {
    fn is_behind(&self) -> bool {
        self.answered.quantile_us(0.5) > BEHIND.as_secs_f64() * 1e6
    }

    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("p50_us", self.delivered.quantile_us(0.5)),
            ("p99_us", self.delivered.quantile_us(0.99)),
            ("max_us", self.delivered.max_us()),
            ("answer_p50_us", self.answered.quantile_us(0.5)),
            ("answer_p99_us", self.answered.quantile_us(0.99)),
            ("lost", self.lost as f64),
        ]
    }
}
