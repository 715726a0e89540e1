//! Many live feeds, held open and read. Threads of their own read them, each with a runtime that
//! shares nothing, because waking across threads would cost more than reading.
//!
//! ```text
//! thread ─┬─ connection ─┬─ stream ─► log of what came, and when
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
use crate::client::{self, Client, RevisionStream};

/// Threads that read. More would take processors from the server on a small machine.
const THREADS: usize = 2;
/// The longest silence that can be asked for, so that signs of life do not disturb the figures.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// Deliveries that are this late are lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether all have come.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// One event that came to one watcher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) revision: u64,
    pub(super) at: Instant,
}

/// What came to one watcher, in the order in which it came.
type Log = Arc<Mutex<Vec<Delivery>>>;

/// Streams that are open until this is dropped.
#[derive(Debug)]
pub(super) struct Watchers {
    logs: Vec<Log>,
    received: Arc<AtomicU64>,
    /// A thread ends when its own is dropped.
    _ends: Vec<oneshot::Sender<()>>,
}

/// What one thread watches.
struct Share {
    address: String,
    connections: Vec<Vec<(String, Log)>>,
    received: Arc<AtomicU64>,
}

impl Watchers {
    /// Opens a stream for each of `users`, spread over so many connections.
    pub(super) async fn open(
        address: &str,
        users: impl Iterator<Item = String>,
        connections: usize,
    ) -> Result<Self, Error> {
        let received = Arc::new(AtomicU64::new(0));
        let mut shares: Vec<Share> = (0..THREADS.min(connections))
            .map(|_| Share {
                address: address.to_owned(),
                connections: Vec::new(),
                received: Arc::clone(&received),
            })
            .collect();
        let mut by_connection = vec![Vec::new(); connections];
        let mut logs = Vec::new();
        for (number, user) in users.enumerate() {
            let log = Log::default();
            logs.push(Arc::clone(&log));
            by_connection[number % connections].push((user, log));
        }
        for (number, streams) in by_connection.into_iter().enumerate() {
            let threads = shares.len();
            shares[number % threads].connections.push(streams);
        }

        let (mut ends, mut opening) = (Vec::new(), Vec::new());
        for share in shares {
            let (opened, when_opened) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            thread::Builder::new()
                .name("bench-watch".to_owned())
                .spawn(move || share.watch(opened, ended))
                .map_err(Error::Runtime)?;
            ends.push(end);
            opening.push(when_opened);
        }
        for opened in opening {
            // A thread that panicked has said so, and nobody is left who could open its streams.
            opened.await.unwrap_or_else(|_| Err(Error::NotAllDone("a thread died".to_owned())))?;
        }
        Ok(Self { logs, received, _ends: ends })
    }

    /// Waits until so many events have come in all, or nothing more comes.
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
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// How many events have come in all.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What came to each of the watchers so far.
    pub(super) fn each(&self, mut look: impl FnMut(&[Delivery])) {
        for log in &self.logs {
            look(&log.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Share {
    /// Opens its streams and reads them until `ended`.
    fn watch(self, opened: oneshot::Sender<Result<(), Error>>, ended: oneshot::Receiver<()>) {
        let runtime = match crate::cli::one_thread() {
            Ok(runtime) => runtime,
            Err(error) => return drop(opened.send(Err(error))),
        };
        runtime.block_on(async {
            let mut streams = JoinSet::new();
            let outcome = self.open(&mut streams).await;
            let _ = opened.send(outcome.map_err(Error::from));
            let _ = ended.await;
        });
    }

    async fn open(self, streams: &mut JoinSet<()>) -> Result<(), client::Error> {
        for users in self.connections {
            let client = Client::connect(&self.address).await?;
            for (user_id, log) in users {
                let heartbeat = HEARTBEAT.try_into().ok();
                let request =
                    WatchFeedRequest { user_id, heartbeat, ..WatchFeedRequest::default() };
                let revisions = client.watch_revisions(request).await?;
                streams.spawn(read(revisions, log, Arc::clone(&self.received)));
            }
        }
        Ok(())
    }
}

/// Takes down all that comes. A stream that ends early is seen by what is missing in its log.
async fn read(mut revisions: RevisionStream, log: Log, received: Arc<AtomicU64>) {
    while let Ok(Some(events)) = revisions.next().await {
        let at = Instant::now();
        let count = events.len() as u64;
        let deliveries = events.map(|revision| Delivery { revision, at });
        log.lock().unwrap_or_else(PoisonError::into_inner).extend(deliveries);
        received.fetch_add(count, Ordering::Relaxed);
    }
}
