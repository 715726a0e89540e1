//! Many live feeds that are open and read. Separate threads read them, each with its own
//! single-threaded runtime: waking across threads would cost more than reading. Never decodes the
//! content of events.
//!
//! ```text
//! thread ─┬─ connection ─┬─ stream ─► log of the received events, with times
//!         │              └─ stream ─► …
//!         └─ connection ─…
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::v1::WatchFeedRequest;
use crate::cli::Error;
use crate::client::{self, RevisionFeeds};

/// Reading threads. More would take processors from the server on a small machine.
const THREADS: usize = 2;
/// The longest heartbeat of the server, so that heartbeats do not affect the figures.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// The wait for events ends after so long without one. Later events count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often the number of received events is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// An event that one watcher received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) revision: u64,
    pub(super) at: Instant,
}

/// The events that one watcher received, in order.
type ReceivedLog = Arc<Mutex<Vec<Received>>>;

/// Open streams. Dropping this closes them.
#[derive(Debug)]
pub(super) struct Watchers {
    logs: Vec<ReceivedLog>,
    received: Arc<AtomicU64>,
    /// A thread ends when its sender is dropped.
    _ends: Vec<oneshot::Sender<()>>,
}

/// A reading thread with its connections, each of which has streams of users.
struct ReaderThread {
    address: String,
    connections: Vec<Vec<(String, ReceivedLog)>>,
    received: Arc<AtomicU64>,
}

impl Watchers {
    /// Opens a stream for each of `users`, spread over `connections` connections.
    pub(super) async fn open(
        address: &str,
        users: impl Iterator<Item = String>,
        connections: usize,
    ) -> Result<Self, Error> {
        let received = Arc::new(AtomicU64::new(0));
        let mut threads: Vec<ReaderThread> = (0..THREADS.min(connections))
            .map(|_| ReaderThread {
                address: address.to_owned(),
                connections: Vec::new(),
                received: Arc::clone(&received),
            })
            .collect();
        let mut by_connection = vec![Vec::new(); connections];
        let mut logs = Vec::new();
        for (number, user) in users.enumerate() {
            let log = ReceivedLog::default();
            logs.push(Arc::clone(&log));
            by_connection[number % connections].push((user, log));
        }
        for (number, streams) in by_connection.into_iter().enumerate() {
            let count = threads.len();
            threads[number % count].connections.push(streams);
        }

        let (mut ends, mut opening) = (Vec::new(), Vec::new());
        for reader in threads {
            let (opened, when_opened) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            thread::Builder::new()
                .name("bench-watch".to_owned())
                .spawn(move || reader.run(opened, ended))
                .map_err(Error::Runtime)?;
            ends.push(end);
            opening.push(when_opened);
        }
        for opened in opening {
            // Only a panic drops the sender, and the panic was printed.
            opened.await.unwrap_or_else(|_| Err(Error::NotAllDone("a thread panicked".into())))?;
        }
        Ok(Self { logs, received, _ends: ends })
    }

    /// Waits until `events` events have been received in total, or none for [`SILENCE_MAX`].
    pub(super) async fn wait_for(&self, events: u64) {
        let mut last = (0, Instant::now());
        loop {
            let received = self.received.load(Ordering::Relaxed);
            if received > last.0 {
                last = (received, Instant::now());
            }
            if received >= events || last.1.elapsed() > SILENCE_MAX {
                return;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Number of received events in total.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Calls `visit` with the log of each watcher.
    pub(super) fn each(&self, mut visit: impl FnMut(&[Received])) {
        for log in &self.logs {
            visit(&log.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl ReaderThread {
    /// Opens the streams, reports to `opened`, and reads until `ended`.
    fn run(self, opened: oneshot::Sender<Result<(), Error>>, ended: oneshot::Receiver<()>) {
        let runtime = match crate::cli::single_threaded_runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(opened.send(Err(error))),
        };
        runtime.block_on(async {
            let mut connections = JoinSet::new();
            let outcome = self.open(&mut connections).await;
            let _ = opened.send(outcome.map_err(Error::from));
            let _ = ended.await;
        });
    }

    async fn open(self, connections: &mut JoinSet<()>) -> Result<(), client::Error> {
        for feeds in self.connections {
            let (users, logs): (Vec<_>, Vec<_>) = feeds.into_iter().unzip();
            let heartbeat = HEARTBEAT.try_into().ok();
            let request =
                |user_id| WatchFeedRequest { user_id, heartbeat, ..WatchFeedRequest::default() };
            let requests: Vec<_> = users.into_iter().map(request).collect();
            let feeds = RevisionFeeds::open(&self.address, &requests).await?;
            connections.spawn(read(feeds, logs, Arc::clone(&self.received)));
        }
        Ok(())
    }
}

/// Logs all events of a connection's feeds. If it ends early, events are missing in the logs.
async fn read(mut feeds: RevisionFeeds, logs: Vec<ReceivedLog>, received: Arc<AtomicU64>) {
    loop {
        let (mut at, mut count) = (None, 0);
        let read = feeds.receive(|feed, revision| {
            count += 1;
            let at = *at.get_or_insert_with(Instant::now);
            let log = logs[feed].lock();
            log.unwrap_or_else(PoisonError::into_inner).push(Received { revision, at });
        });
        let read = read.await;
        received.fetch_add(count, Ordering::Relaxed);
        if read.is_err() {
            return;
        }
    }
}
