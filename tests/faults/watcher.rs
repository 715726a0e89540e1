//! A user who follows all writers, and watches over every fault: a stream that breaks is resumed where it
//! ended. Never accepts an event out of order, or twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use whimbrel::api::v1::FollowRequest;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::client::{Client, ConnectOptions, Retry, Watch, WatchMessage, WatchStart};

/// Between two tries to resume: the server may be on its way back.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// The shortest that a server grants: a server that is stopped is given up after two of them.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What a watcher saw: by revision the post, and whether it was deleted.
pub(crate) type Seen = BTreeMap<u64, (String, bool)>;

#[derive(Debug)]
pub(crate) struct Watcher {
    address: watch::Sender<String>,
    seen: Arc<Mutex<Seen>>,
    /// Ends with this.
    _watching: JoinSet<()>,
}

impl Watcher {
    /// Follows `writers` and begins to watch.
    pub(crate) async fn start(
        address: String,
        writers: &[String],
        options: ConnectOptions,
    ) -> Self {
        let client = Client::connect_with(&address, &options).await;
        let client = client.expect("the server listens");
        let mut cursor = String::new();
        for writer in writers {
            let request = FollowRequest { user_id: "watcher".into(), followee_id: writer.clone() };
            cursor = client.follow(request).await.expect("it is answered").cursor;
        }
        let (address, addresses) = watch::channel(address);
        let seen = Arc::default();
        let mut watching = JoinSet::new();
        watching.spawn(watch_on(cursor, addresses, options, Arc::clone(&seen)));
        Self { address, seen, _watching: watching }
    }

    /// From now on it resumes at another address.
    pub(crate) fn moved(&self, address: &str) {
        self.address.send_replace(address.to_owned());
    }

    /// What it has seen. It watches until it is dropped.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn watch_on(
    mut cursor: String,
    addresses: watch::Receiver<String>,
    options: ConnectOptions,
    seen: Arc<Mutex<Seen>>,
) {
    loop {
        let address = addresses.borrow().clone();
        let Ok(client) = Client::connect_with(&address, &options).await else {
            tokio::time::sleep(RETRY_DELAY).await;
            continue;
        };
        let start = WatchStart::Cursor(cursor.clone());
        let mut watch = Watch::new(client, "watcher", start).heartbeat(HEARTBEAT);
        watch = watch.retry(Retry::within(Duration::ZERO));
        let error = loop {
            match watch.next(|_| {}).await {
                Ok(message) => {
                    cursor = message.cursor().map_or(cursor, str::to_owned);
                    if let WatchMessage::Batch(batch) = message {
                        for event in batch.events {
                            let what = match event.change.expect("it has one") {
                                Change::Posted(posted) => {
                                    let post = posted.item.and_then(|item| item.post);
                                    (post.expect("it is complete").post_id, false)
                                }
                                Change::Deleted(deleted) => (deleted.post_id, true),
                                other => panic!("nobody did that: {other:?}"),
                            };
                            put(&mut seen.lock().unwrap(), event.revision, what);
                        }
                    }
                }
                Err(error) => break error,
            }
        };
        assert!(error.is_transient(), "the stream cannot be resumed: {error}");
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

fn put(seen: &mut Seen, revision: u64, what: (String, bool)) {
    let last = seen.last_key_value().map_or(0, |(last, _)| *last);
    assert!(revision > last, "{what:?} of revision {revision} comes after {last}");
    seen.insert(revision, what);
}
