//! A log that a test looks into: it is told on which thread a cursor is checked, and can spoil it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use whimbrel::log::{Batch, Entry, Error, Log};
use whimbrel::model::{Event, LogId, Revision};

/// A log that calls a hook where the server looks how far back it goes, which is done on the
/// worker that a stream is opened on.
pub(crate) struct HookedLog<F> {
    log: Arc<dyn Log>,
    hook: F,
}

impl<F: Fn() + Send + Sync + 'static> HookedLog<F> {
    pub(crate) fn before(log: Arc<dyn Log>, hook: F) -> Arc<dyn Log> {
        Arc::new(Self { log, hook })
    }
}

impl<F> fmt::Debug for HookedLog<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookedLog({:?})", self.log)
    }
}

impl<F: Fn() + Send + Sync> Log for HookedLog<F> {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn head(&self) -> Revision {
        self.log.head()
    }

    fn oldest(&self) -> Revision {
        (self.hook)();
        self.log.oldest()
    }

    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error> {
        self.log.append(after, events)
    }

    fn get(&self, revision: Revision) -> Result<Option<Event>, Error> {
        self.log.get(revision)
    }

    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<Entry>, Error> {
        self.log.read(after, events_max)
    }

    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        self.log.follow(batches_max)
    }

    fn close(&self) {
        self.log.close();
    }
}
