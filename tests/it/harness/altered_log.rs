//! A log with some calls altered by a test. The other calls go to the log behind it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use whimbrel::model::{Chain, Epochs, Event, LogId, Revision};
use whimbrel::storage::{
    Batch, EraseOutcome, Erasure, Error, Log, LogEntry, LogSize, SegmentInfo, SegmentRead,
};

/// The altered calls: none by default.
pub(crate) trait Alter: Debug + Send + Sync {
    /// Called before [`Log::oldest`].
    fn at_oldest(&self) {}

    /// Called before [`Log::append`].
    fn at_append(&self) {}

    /// Called before [`Log::get`].
    fn at_get(&self) {}

    /// Called before [`Log::read`].
    fn at_read(&self) {}

    /// In place of [`Log::get_many`].
    fn get_many(&self, log: &dyn Log, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        log.get_many(revisions)
    }

    /// In place of [`Log::follow`].
    fn follow(&self, log: &dyn Log, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        log.follow(batches_max)
    }

    /// In place of [`Log::erase`].
    fn erase(
        &self,
        log: &dyn Log,
        erasure: &Erasure,
        go_on: &dyn Fn() -> bool,
    ) -> Result<EraseOutcome, Error> {
        log.erase(erasure, go_on)
    }
}

/// A log, and the alteration of its calls.
#[derive(Debug)]
pub(crate) struct AlteredLog<A> {
    log: Arc<dyn Log>,
    pub(crate) alter: A,
}

impl<A: Alter> AlteredLog<A> {
    pub(crate) fn new(log: Arc<dyn Log>, alter: A) -> Arc<Self> {
        Arc::new(Self { log, alter })
    }
}

impl<A: Alter> Log for AlteredLog<A> {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn head(&self) -> Revision {
        self.log.head()
    }

    fn epochs(&self) -> Epochs {
        self.log.epochs()
    }

    fn oldest(&self) -> Revision {
        self.alter.at_oldest();
        self.log.oldest()
    }

    fn append(&self, after: Revision, events: Vec<Event>) -> Result<(), Error> {
        self.alter.at_append();
        self.log.append(after, events)
    }

    fn get(&self, revision: Revision) -> Result<Option<Event>, Error> {
        self.alter.at_get();
        Ok(self.get_many(&[revision])?.pop().flatten())
    }

    fn get_many(&self, revisions: &[Revision]) -> Result<Vec<Option<Event>>, Error> {
        self.alter.get_many(&*self.log, revisions)
    }

    fn read(&self, after: Revision, events_max: usize) -> Result<Vec<LogEntry>, Error> {
        self.alter.at_read();
        self.log.read(after, events_max)
    }

    fn chain(&self, revision: Revision) -> Result<Option<Chain>, Error> {
        self.log.chain(revision)
    }

    fn follow(&self, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        self.alter.follow(&*self.log, batches_max)
    }

    fn erase(&self, erasure: &Erasure, go_on: &dyn Fn() -> bool) -> Result<EraseOutcome, Error> {
        self.alter.erase(&*self.log, erasure, go_on)
    }

    fn erased_until(&self) -> Revision {
        self.log.erased_until()
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        self.log.segments()
    }

    fn read_segment(
        &self,
        segment: &SegmentInfo,
        pass_on: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<SegmentRead, Error> {
        self.log.read_segment(segment, pass_on)
    }

    fn check(&self) -> Result<(), Error> {
        self.log.check()
    }

    fn size(&self) -> Option<LogSize> {
        self.log.size()
    }

    fn confirm(&self, after: Revision) -> Result<(), Error> {
        self.log.confirm(after)
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn stop_waiting(&self) {
        self.log.stop_waiting();
    }

    fn close(&self) {
        self.log.close();
    }
}
