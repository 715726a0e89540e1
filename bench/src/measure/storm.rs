//! The reconnect storm: watchers who all lost their server at once, and all come back with cursors
//! from anywhere in the last posts. Each must get exactly what it missed, and none may wait for
//! ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::JoinSet;
use whimbrel::api::v1::PublishRequest;

use super::{IN_FLIGHT, Run};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{joined, lock};
use crate::machine;
use crate::peer::{Kind, System, Whimbrel, restart_killed};
use crate::stats::median;
use crate::watchers::{Watch, Watchers};

const AUTHORS: u32 = 1_000;
/// Whom each watcher follows.
const FOLLOWEES: u32 = 10;
/// Connections under way at once in each thread: more would overrun the listener's queue of the
/// machine, and measure how it retries.
const OPENING: usize = 400;

/// A post as its author was told of it.
struct Posted {
    revision: u64,
    author: u32,
    cursor: String,
}

pub(super) async fn measure(run: &mut Run) {
    if run.kinds.contains(&Kind::Whimbrel) {
        let measured = storm(run).await;
        run.note("storm", Kind::Whimbrel, f64::from(run.sizes.storm_watchers), measured);
    }
}

async fn storm(run: &Run) -> Result<Vec<(&'static str, f64)>, Error> {
    let watchers = run.sizes.storm_watchers;
    let follows = |watcher: u32| {
        // All different, and no two watchers alike for long.
        (0..FOLLOWEES).map(move |step| (watcher * 7 + step * (step + 1) * 4 + step) % AUTHORS)
    };
    let edges = (0..watchers)
        .flat_map(|watcher| follows(watcher).map(move |author| (AUTHORS + watcher, author)));
    let data = Data { edges: edges.collect(), ..Data::default() };
    let whimbrel = Whimbrel::start(&run.programs, &data).await?;
    let posts = publish(&whimbrel, run.sizes.storm_posts).await?;
    let system: Arc<dyn System> = Arc::new(whimbrel);
    restart_killed(&*system).await?;

    let mut by_author: HashMap<u32, Vec<u64>> = HashMap::new();
    for post in &posts {
        by_author.entry(post.author).or_default().push(post.revision);
    }
    let (mut watches, mut missed) = (Vec::new(), Vec::new());
    for watcher in 0..watchers {
        let seen = &posts[(u64::from(watcher) * posts.len() as u64 / u64::from(watchers)) as usize];
        let authors: Arc<[u32]> = follows(watcher).collect();
        let revisions = authors.iter().filter_map(|author| by_author.get(author)).flatten();
        let mut revisions: Vec<u64> =
            revisions.copied().filter(|revision| *revision > seen.revision).collect();
        revisions.sort_unstable();
        missed.push(revisions);
        let cursor = Some(seen.cursor.clone());
        watches.push(Watch { user: AUTHORS + watcher, authors, cursor });
    }
    let due: u64 = missed.iter().map(|missed| missed.len() as u64).sum();

    let pid = system.server().pid();
    let (before, cpu) = (machine::memory_bytes(pid), machine::cpu_time(pid));
    let begun = Instant::now();
    let watching = Watchers::open_at_once(&system, watches, watchers as usize, OPENING).await?;
    let opened = begun.elapsed();
    watching.wait_for(due).await;
    let cpu = machine::cpu_time(pid) - cpu;

    let (mut incomplete, mut caught_up_s) = (0, Vec::new());
    watching.each(|watcher, log| {
        let came = log.iter().map(|delivery| delivery.key);
        incomplete += u64::from(!came.eq(missed[watcher].iter().copied()));
        let last = log.last().map_or(opened, |delivery| delivery.at - begun);
        caught_up_s.push(last.as_secs_f64());
    });
    caught_up_s.sort_by(f64::total_cmp);
    Ok(vec![
        ("opened_seconds", opened.as_secs_f64()),
        ("median_seconds", median(&caught_up_s)),
        ("slowest_seconds", caught_up_s.last().copied().unwrap_or_default()),
        ("incomplete", incomplete as f64),
        ("deliveries", due as f64),
        ("cpu_seconds", cpu.as_secs_f64()),
        ("memory_before_bytes", before),
        ("memory_after_bytes", machine::memory_bytes(pid)),
        ("memory_peak_bytes", machine::memory_peak_bytes(pid)),
    ])
}

/// Publishes, and keeps every cursor that it is told.
async fn publish(whimbrel: &Whimbrel, posts: u64) -> Result<Vec<Posted>, Error> {
    let client = whimbrel.client().await?;
    let (next, posted) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, next, posted) = (client.clone(), Arc::clone(&next), Arc::clone(&posted));
        tasks.spawn(async move {
            loop {
                let post = next.fetch_add(1, Ordering::Relaxed);
                if post >= posts {
                    return Ok::<_, Error>(());
                }
                let author = (post % u64::from(AUTHORS)) as u32;
                let (author_id, text) = (data::user_name(author), data::text(post));
                let request = PublishRequest { author_id, text, ..PublishRequest::default() };
                let answer = client.publish(request).await?;
                let revision = answer.post.unwrap_or_default().revision;
                lock(&posted).push(Posted { revision, author, cursor: answer.cursor });
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        joined(ended)?;
    }
    let mut posted = std::mem::take(&mut *lock(&posted));
    posted.sort_by_key(|post| post.revision);
    Ok(posted)
}
