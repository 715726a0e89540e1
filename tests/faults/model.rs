//! All that a server acknowledged over its lives, to writers and to a watcher, and what it must have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use whimbrel::client::{Client, ConnectOptions, Error, Retry};

use crate::patience::{PATIENCE, eventually, within};
use crate::watcher::{Seen, Watcher};
use crate::writer::Writer;

/// As many as make batches of more than one change.
const WRITERS: usize = 8;

/// What was acknowledged.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) writers: Vec<Writer>,
    watcher: Watcher,
    options: ConnectOptions,
}

/// Writers who write.
pub(crate) struct Writing {
    writers: JoinSet<(Writer, Option<Error>)>,
    watcher: Watcher,
    options: ConnectOptions,
    stop: CancellationToken,
    /// Changes that were acknowledged since they began.
    count: Arc<AtomicU64>,
}

impl Model {
    /// Lets no writer take anything back, for servers at which a change that was given up may be made later than one that
    /// was asked for after it.
    pub(crate) fn never_taking_back(mut self) -> Self {
        self.writers.iter_mut().for_each(|writer| writer.takes_back = false);
        self
    }

    /// Lets all writers write to the servers at `addresses`, whatever becomes of single calls.
    pub(crate) async fn write_on(self, addresses: impl ToString) -> Writing {
        self.begin(addresses, true).await
    }

    /// Nothing was acknowledged yet, and the watcher watches the server at `address`.
    pub(crate) async fn new(address: impl ToString) -> Self {
        Self::with(address, ConnectOptions::default()).await
    }

    /// The same, with what all of them show to the server.
    pub(crate) async fn with(address: impl ToString, options: ConnectOptions) -> Self {
        let writers = (0..WRITERS).map(|number| Writer::new(format!("writer{number}")));
        let writers: Vec<_> = writers.collect();
        let names: Vec<_> = writers.iter().map(|writer| writer.name.clone()).collect();
        let watcher = Watcher::start(address.to_string(), &names, options.clone()).await;
        Self { writers, watcher, options }
    }

    /// Lets all writers write to the server at `address`.
    pub(crate) async fn write(self, address: impl ToString) -> Writing {
        self.begin(address, false).await
    }

    async fn begin(self, address: impl ToString, goes_on: bool) -> Writing {
        let address = address.to_string();
        self.watcher.moved(&address);
        let stop = CancellationToken::new();
        let count = Arc::default();
        let mut writers = JoinSet::new();
        for mut writer in self.writers {
            let (count, stop) = (Arc::clone(&count), stop.clone());
            let client = connect(&address, &self.options).await;
            writers.spawn(async move {
                let error = match goes_on {
                    true => writer.write_on(&client, &count, &stop).await,
                    false => writer.write(&client, &count, &stop).await,
                };
                (writer, error)
            });
        }
        Writing { writers, watcher: self.watcher, options: self.options, stop, count }
    }

    /// Writes until so many more changes are acknowledged, with no error.
    pub(crate) async fn grow(self, address: impl ToString, changes: u64) -> Self {
        let writing = self.write(address).await;
        writing.acknowledged(changes).await;
        let (model, errors) = writing.end().await;
        assert!(errors.is_empty(), "{errors:?}");
        model
    }

    /// Makes the open calls again, and compares all that the server at `address` has with the model, and
    /// what the watcher saw.
    pub(crate) async fn check(&mut self, address: impl ToString) {
        let address = address.to_string();
        self.settle(&address).await;
        self.compare(&address).await.unwrap_or_else(|error| panic!("a read is refused: {error}"));
        self.watched().await;
    }

    /// Makes the open calls again, until all are answered.
    pub(crate) async fn settle(&mut self, address: impl ToString) {
        let address = address.to_string();
        self.watcher.moved(&address);
        let client = connect(&address, &self.options).await;
        for writer in &mut self.writers {
            let mut retry = Retry::within(PATIENCE);
            while let Err(error) = writer.settle(&client).await {
                let refused = retry.wait(error).await;
                refused.unwrap_or_else(|error| panic!("{}: {error}", writer.name));
            }
        }
    }

    /// Compares what the server has with the model.
    ///
    /// # Errors
    /// A read was refused; what was answered is right.
    pub(crate) async fn compare(&self, address: impl ToString) -> Result<(), Error> {
        let client = connect(&address, &self.options).await;
        for writer in &self.writers {
            within("an answer", writer.compare(&client)).await?;
        }
        let revisions = self.writers.iter().flat_map(|writer| {
            let deleted = writer.deleted.iter().flat_map(|it| [it.revision, it.post.revision]);
            writer.posts.iter().map(|post| post.revision).chain(deleted)
        });
        let revisions: Vec<_> = revisions.collect();
        let distinct: BTreeSet<_> = revisions.iter().collect();
        assert_eq!(distinct.len(), revisions.len(), "two changes have one revision");
        Ok(())
    }

    /// Publishes the last post of each writer again, which must change nothing.
    pub(crate) async fn repeat(&self, address: impl ToString) {
        let client = connect(&address, &self.options).await;
        for writer in &self.writers {
            writer.repeat(&client).await;
        }
    }

    /// Waits until the watcher has seen all there is, and compares it.
    pub(crate) async fn watched(&self) {
        let mut must = Seen::new();
        let mut may = Seen::new();
        for writer in &self.writers {
            let kept = writer.posts.iter();
            must.extend(kept.map(|post| (post.revision, (post.id.clone(), false))));
            for deletion in &writer.deleted {
                let post = &deletion.post;
                must.insert(deletion.revision, (post.id.clone(), true));
                // A stream that resumes after the deletion brings the post no more.
                may.insert(post.revision, (post.id.clone(), false));
            }
        }
        let last = must.last_key_value().map_or(0, |(revision, _)| *revision);
        let seen = eventually("the watcher", || {
            let seen = self.watcher.seen();
            seen.last_key_value().is_some_and(|(seen, _)| *seen >= last).then_some(seen)
        });
        let seen = seen.await;
        for (revision, what) in &must {
            assert_eq!(seen.get(revision), Some(what), "the watcher at revision {revision}");
        }
        for (revision, what) in &seen {
            let expected = must.get(revision).or_else(|| may.get(revision));
            assert_eq!(Some(what), expected, "the watcher at revision {revision}");
        }
    }

    /// The changes that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.writers.iter().map(|writer| writer.acknowledged).sum()
    }

    /// The events that the watcher got.
    pub(crate) fn delivered(&self) -> u64 {
        self.watcher.seen().len() as u64
    }
}

impl Writing {
    /// Waits until so many changes are acknowledged.
    pub(crate) async fn acknowledged(&self, changes: u64) {
        let is_reached = || (self.count.load(Ordering::Relaxed) >= changes).then_some(());
        eventually("acknowledged changes", is_reached).await;
    }

    /// Waits until so many more changes are acknowledged than now.
    pub(crate) async fn more(&self, changes: u64) {
        self.acknowledged(self.count.load(Ordering::Relaxed) + changes).await;
    }

    /// Waits for a random number of acknowledged changes, so that a fault comes at any moment.
    pub(crate) async fn some_moment(&self, changes_max: u64) {
        self.acknowledged(fastrand::u64(1..=changes_max)).await;
    }

    /// Waits until all writers have got an error.
    pub(crate) async fn lost(self) -> (Model, Vec<Error>) {
        self.joined().await
    }

    /// Stops them in order.
    pub(crate) async fn end(self) -> (Model, Vec<Error>) {
        self.stop.cancel();
        self.joined().await
    }

    async fn joined(self) -> (Model, Vec<Error>) {
        let done = within("the answers of all calls", self.writers.join_all()).await;
        let (writers, errors): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let model = Model { writers, watcher: self.watcher, options: self.options };
        (model, errors.into_iter().flatten().collect())
    }
}

async fn connect(address: &impl ToString, options: &ConnectOptions) -> Client {
    let address = address.to_string();
    let client = within("a connection", Client::connect_with(&address, options)).await;
    client.unwrap_or_else(|error| panic!("{error}"))
}
