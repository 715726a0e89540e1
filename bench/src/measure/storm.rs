//! The reconnect storm: many watchers lose their server at once, and all reconnect with cursors
//! spread over the last posts. Each must get exactly the posts that it missed, and none may wait
//! forever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::{PostedEvent, watch_feed_response};

use super::{IN_FLIGHT, Run};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::so_many;
use crate::machine;
use crate::peer::{Kind, System, Whimbrel, restart_killed};
use crate::stats::median;
use crate::watchers::{Watch, Watchers};

const AUTHORS: u32 = 1_000;
/// Followees of each watcher.
const FOLLOWEES: u32 = 10;
/// Connections that each thread opens at once: more would overflow the kernel's queue of the
/// listener, and measure its retries.
const OPENING: usize = 400;

/// The published posts.
#[derive(Default)]
struct StormPosts {
    count: usize,
    /// Revisions by author, rising.
    by_author: HashMap<String, Vec<u64>>,
    /// Cursors, and the revision of the newest post before each.
    cursors: Vec<(u64, String)>,
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
        // Ten different authors; watchers with the same ten are rare.
        (0..FOLLOWEES).map(move |step| (watcher * 7 + step * (step + 1) * 4 + step) % AUTHORS)
    };
    let edges = (0..watchers)
        .flat_map(|watcher| follows(watcher).map(move |author| (AUTHORS + watcher, author)));
    let collector = AUTHORS + watchers;
    let edges = edges.chain((0..AUTHORS).map(|author| (collector, author)));
    let data = Data { edges: edges.collect(), ..Data::default() };
    let whimbrel = Whimbrel::start(&run.programs, &data).await?;
    let posted = publish(&whimbrel, collector, run.sizes.storm_posts).await?;
    let system: Arc<dyn System> = Arc::new(whimbrel);
    restart_killed(&*system).await?;

    let (mut watches, mut missed) = (Vec::new(), Vec::new());
    for watcher in 0..watchers {
        let at = u64::from(watcher) * posted.cursors.len() as u64 / u64::from(watchers);
        let (seen, cursor) = &posted.cursors[at as usize];
        let authors: Arc<[u32]> = follows(watcher).collect();
        let names = authors.iter().map(|author| data::user_name(*author));
        let revisions = names.filter_map(|name| posted.by_author.get(&name)).flatten();
        let mut revisions: Vec<u64> =
            revisions.copied().filter(|revision| revision > seen).collect();
        revisions.sort_unstable();
        missed.push(revisions);
        watches.push(Watch { user: AUTHORS + watcher, authors, cursor: Some(cursor.clone()) });
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

/// Publishes, while a collector who follows all authors watches and keeps the posts and the cursors
/// after them, as a watcher would. The cursor of a publish's answer is unusable: it may be after
/// later posts of the same batch.
async fn publish(whimbrel: &Whimbrel, collector: u32, posts: u64) -> Result<StormPosts, Error> {
    let user_id = data::user_name(collector);
    let request = WatchFeedRequest { user_id, ..WatchFeedRequest::default() };
    let mut messages = whimbrel.client().await?.watch_feed(request).await?;
    // The first message says that the stream is open.
    messages.next().await?;
    let callers = whimbrel.callers(IN_FLIGHT).await?;
    let publish = so_many(&callers, IN_FLIGHT, posts, |caller, post| async move {
        let author = (post % u64::from(AUTHORS)) as u32;
        caller.publish(author, post).await.map(drop)
    });
    let collect = async {
        let mut posted = StormPosts::default();
        while (posted.count as u64) < posts {
            let ended = || Error::Failed("the collector's stream ended".to_owned());
            let message = messages.next().await?.and_then(|it| it.kind).ok_or_else(ended)?;
            if let watch_feed_response::Kind::Batch(batch) = message {
                let revisions = batch.events.iter().map(|event| event.revision);
                let newest = revisions.max().unwrap_or_default();
                posted.cursors.push((newest, batch.cursor));
                for event in batch.events {
                    let Some(Change::Posted(PostedEvent { item: Some(item) })) = event.change
                    else {
                        continue;
                    };
                    let author = item.post.unwrap_or_default().author_id;
                    posted.by_author.entry(author).or_default().push(event.revision);
                    posted.count += 1;
                }
            }
        }
        Ok(posted)
    };
    let (published, posted) = tokio::join!(publish, collect);
    published?;
    posted
}
