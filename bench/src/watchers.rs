//! Many open live feeds and their deliveries, for every system. At most two threads read them, each
//! with a runtime of its own: a wake-up that crosses threads would cost more than a read. A
//! delivery is never checked while it is timed.
//!
//! ```text
//! thread ─┬─ connection ─┬─ watcher ─▶ log of deliveries with their times
//!         │              └─ watcher ─▶ …
//!         └─ connection ─…
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::error::Error;
use crate::load::lock;
use crate::peer::System;

/// Most threads that read. More would take processors from the server on a small machine.
const THREADS: usize = 2;
/// After so long without a delivery the missing ones count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Time between two counts of the deliveries.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The delivery of a post to a watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) key: u64,
    pub(crate) at: Instant,
}

/// The log of a watcher, to which its connection adds deliveries.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    log: Arc<Mutex<Vec<Delivery>>>,
    received: Arc<AtomicU64>,
}

impl Sink {
    /// Adds the deliveries of one read.
    pub(crate) fn add(&self, keys: impl IntoIterator<Item = u64>, at: Instant) {
        let mut log = lock(&self.log);
        let before = log.len();
        log.extend(keys.into_iter().map(|key| Delivery { key, at }));
        self.received.fetch_add((log.len() - before) as u64, Ordering::Relaxed);
    }
}

/// A watcher, with its log.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    pub(crate) user: u32,
    /// The user's followees, for systems that do not store follows.
    pub(crate) authors: Arc<[u32]>,
    /// The position to resume from, for systems that can; `None` for new posts only.
    pub(crate) cursor: Option<String>,
    pub(crate) sink: Sink,
}

/// A stream to open: the user, the user's followees, and the cursor.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) user: u32,
    pub(crate) authors: Arc<[u32]>,
    pub(crate) cursor: Option<String>,
}

/// Open streams, which close when it is dropped.
#[derive(Debug)]
pub(crate) struct Watchers {
    sinks: Vec<Sink>,
    received: Arc<AtomicU64>,
    /// Senders whose drop ends the threads.
    ends: Vec<oneshot::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Watchers {
    /// Opens a stream for each of `watches`, spread over `connections`.
    pub(crate) async fn open(
        system: &Arc<dyn System>,
        watches: Vec<Watch>,
        connections: usize,
    ) -> Result<Self, Error> {
        Self::open_at_once(system, watches, connections, 1).await
    }

    /// As [`Watchers::open`]. Each thread opens `at_once` connections at once.
    pub(crate) async fn open_at_once(
        system: &Arc<dyn System>,
        watches: Vec<Watch>,
        connections: usize,
        at_once: usize,
    ) -> Result<Self, Error> {
        let received = Arc::new(AtomicU64::new(0));
        let mut by_connection = vec![Vec::new(); connections];
        let mut sinks = Vec::new();
        for (number, Watch { user, authors, cursor }) in watches.into_iter().enumerate() {
            let sink = Sink { log: Arc::default(), received: Arc::clone(&received) };
            sinks.push(sink.clone());
            by_connection[number % connections].push(Watcher { user, authors, cursor, sink });
        }
        let mut shares = vec![Vec::new(); THREADS.min(connections)];
        for (number, watchers) in by_connection.into_iter().enumerate() {
            let threads = shares.len();
            shares[number % threads].push(watchers);
        }

        let (mut ends, mut opening, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for share in shares {
            let (opened, when_opened) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let system = Arc::clone(system);
            let thread = thread::Builder::new()
                .name("bench-watch".to_owned())
                .spawn(move || watch(&system, share, at_once, opened, ended))?;
            threads.push(thread);
            ends.push(end);
            opening.push(when_opened);
        }
        let watchers = Self { sinks, received, ends, threads };
        for opened in opening {
            opened.await??;
        }
        Ok(watchers)
    }

    /// Waits for a number of deliveries to all watchers; not longer than [`SILENCE_MAX`] without
    /// one.
    pub(crate) async fn wait_for(&self, deliveries: u64) {
        let mut last = (0, Instant::now());
        loop {
            let received = self.received();
            if received > last.0 {
                last = (received, Instant::now());
            }
            if received >= deliveries || last.1.elapsed() > SILENCE_MAX {
                return;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// The number of deliveries to all watchers.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Calls `look` with the log of each watcher, in the order of opening.
    pub(crate) fn each(&self, mut look: impl FnMut(usize, &[Delivery])) {
        for (number, sink) in self.sinks.iter().enumerate() {
            look(number, &lock(&sink.log));
        }
    }

    /// The number of watchers.
    pub(crate) fn len(&self) -> usize {
        self.sinks.len()
    }

    /// The time of the last delivery.
    pub(crate) fn last(&self) -> Option<Instant> {
        let mut last = None;
        self.each(|_, log| last = last.max(log.last().map(|delivery| delivery.at)));
        last
    }

    /// Clears the logs.
    pub(crate) fn clear(&self) {
        self.sinks.iter().for_each(|sink| lock(&sink.log).clear());
        self.received.store(0, Ordering::Relaxed);
    }

    /// The number of deliveries that did not come exactly once, if each watcher expects `expected`.
    pub(crate) fn lost<T>(&self, expected: &HashMap<u64, T>) -> u64 {
        let mut lost = 0;
        self.each(|_, log| lost += missing_or_twice(log, expected));
        lost
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.ends.clear();
        for thread in self.threads.drain(..) {
            // A panic of a thread is on standard error already.
            let _ = thread.join();
        }
    }
}

fn missing_or_twice<T>(log: &[Delivery], expected: &HashMap<u64, T>) -> u64 {
    let mut keys: Vec<u64> =
        log.iter().map(|delivery| delivery.key).filter(|key| expected.contains_key(key)).collect();
    let strangers = log.len() - keys.len();
    keys.sort_unstable();
    let came = keys.len();
    keys.dedup();
    (expected.len() - keys.len() + (came - keys.len()) + strangers) as u64
}

/// Opens its streams and reads them until `ended`.
fn watch(
    system: &Arc<dyn System>,
    connections: Vec<Vec<Watcher>>,
    at_once: usize,
    opened: oneshot::Sender<Result<(), Error>>,
    ended: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(error.into()))),
    };
    runtime.block_on(async {
        let mut reading = JoinSet::new();
        let outcome = open(system, connections, at_once, &mut reading).await;
        let _ = opened.send(outcome);
        let _ = ended.await;
    });
}

async fn open(
    system: &Arc<dyn System>,
    connections: Vec<Vec<Watcher>>,
    at_once: usize,
    reading: &mut JoinSet<()>,
) -> Result<(), Error> {
    let mut waiting = connections.into_iter();
    let mut opening = JoinSet::new();
    loop {
        while opening.len() < at_once {
            let Some(watchers) = waiting.next() else { break };
            let system = Arc::clone(system);
            opening.spawn(async move { system.watch(watchers).await });
        }
        let Some(opened) = opening.join_next().await else { return Ok(()) };
        for reader in crate::load::joined(opened)? {
            reading.spawn(reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: missing, double and unexpected deliveries all count.
    #[test]
    fn what_did_not_come_once_is_counted() {
        let at = Instant::now();
        let log = |keys: &[u64]| -> Vec<Delivery> {
            keys.iter().map(|&key| Delivery { key, at }).collect()
        };
        let expected = HashMap::from([(1, ()), (2, ()), (3, ())]);
        assert_eq!(missing_or_twice(&log(&[1, 2, 3]), &expected), 0);
        assert_eq!(missing_or_twice(&log(&[1, 3]), &expected), 1);
        assert_eq!(missing_or_twice(&log(&[1, 2, 2, 3]), &expected), 1);
        assert_eq!(missing_or_twice(&log(&[1, 2, 3, 9]), &expected), 1);
    }
}
