//! The segments of a log in order, and what is done to them behind the writer's back: sealing the
//! full ones, and making the next one ready. Never writes an event.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::preparer::Preparer;
use super::sealing::seal_file;
use super::segment::{Segment, SegmentFiles};
use crate::model::Revision;
use crate::storage::error::Error;

/// Full segments that wait to be sealed. An append waits while there are more: each keeps its tables
/// in memory.
const WAITING_MAX: usize = 1;

/// All segments that have events, in the order of their revisions.
#[derive(Debug)]
pub(super) struct SegmentList {
    files: Arc<SegmentFiles>,
    list: RwLock<Vec<Arc<Segment>>>,
    /// Held while a segment is sealed.
    sealing: Mutex<()>,
}

/// Seals segments and makes new ones ready: on a thread of its own, or on the caller's.
#[derive(Debug)]
pub(super) struct Maintenance {
    work: Arc<MaintenanceWork>,
    thread: Mutex<Option<MaintenanceThread>>,
}

#[derive(Debug)]
struct MaintenanceThread {
    work: SyncSender<Work>,
    thread: JoinHandle<()>,
}

/// What the thread has to do.
#[derive(Debug)]
enum Work {
    /// The prepared segment was taken.
    Prepare,
    /// The prepared segment was taken, and this one is full.
    Seal(Arc<Segment>),
}

#[derive(Debug)]
struct MaintenanceWork {
    segments: Arc<SegmentList>,
    preparer: Arc<Preparer>,
    /// What ended it. The log must not be used further.
    failure: Mutex<Option<Error>>,
}

impl SegmentList {
    pub(super) fn new(files: Arc<SegmentFiles>, list: Vec<Arc<Segment>>) -> Self {
        Self { files, list: RwLock::new(list), sealing: Mutex::default() }
    }

    /// The segment that has `revision`, which is in the log.
    pub(super) fn find(&self, revision: Revision) -> Option<Arc<Segment>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let after = list.partition_point(|segment| segment.first <= revision);
        list[..after].last().map(Arc::clone)
    }

    /// The revision of the last event; zero without events.
    pub(super) fn last_revision(&self) -> Revision {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.last().map_or(Revision::ZERO, |last| last.last())
    }

    /// All segments, as of now.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn push(&self, segment: Arc<Segment>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(
            list.last().is_none_or(|last| last.last().next() == segment.first),
            "segments follow each other without a gap"
        );
        list.push(segment);
    }

    /// Puts `new` in the place of `old`, which has the same events.
    pub(super) fn replace(&self, old: &Arc<Segment>, new: Segment) {
        debug_assert_eq!((old.first, old.last()), (new.first, new.last()), "the same events");
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let place = list.iter_mut().find(|segment| Arc::ptr_eq(segment, old));
        let place = place.unwrap_or_else(|| unreachable!("only maintenance and erasing replace"));
        *place = Arc::new(new);
    }

    /// Seals a segment that is not written to any more.
    pub(super) fn seal(&self, segment: &Arc<Segment>) -> Result<(), Error> {
        let _alone = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = self.all().iter().any(|other| Arc::ptr_eq(other, segment));
        let tables = segment.tables().map(|tables| tables.clone());
        // Otherwise another thread has sealed it meanwhile.
        let Some(tables) = tables.filter(|_| is_there) else { return Ok(()) };
        let file = self.files.of(segment)?;
        let foot = seal_file(&*file, &tables, segment.salt);
        let foot = foot.map_err(|error| self.files.failed(segment.number, error))?;
        self.replace(segment, Segment::with_foot((segment.number, segment.first), foot));
        Ok(())
    }
}

impl Maintenance {
    /// On the caller's thread.
    pub(super) fn new(segments: Arc<SegmentList>, preparer: Arc<Preparer>) -> Self {
        let failure = Mutex::new(None);
        let work = Arc::new(MaintenanceWork { segments, preparer, failure });
        Self { work, thread: Mutex::new(None) }
    }

    /// Starts the thread.
    pub(super) fn start_thread(&self) -> std::io::Result<()> {
        let (work, received) = sync_channel(WAITING_MAX);
        let state = Arc::clone(&self.work);
        let thread = std::thread::Builder::new()
            .name("whimbrel-segments".to_owned())
            .spawn(move || state.run(&received))?;
        *self.thread() = Some(MaintenanceThread { work, thread });
        Ok(())
    }

    /// The prepared segment was taken. `full`, which nothing is written to any more, is sealed now or
    /// later.
    pub(super) fn segment_taken(&self, full: Option<Arc<Segment>>) {
        let thread = self.thread().as_ref().map(|thread| thread.work.clone());
        match (thread, full) {
            // A thread that is gone has left its failure.
            (Some(work), Some(full)) => drop(work.send(Work::Seal(full))),
            (Some(work), None) => drop(work.send(Work::Prepare)),
            (None, Some(full)) => self.work.seal(&full),
            (None, None) => {}
        }
    }

    /// Fails once a segment could not be sealed.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut failure = self.work.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }

    /// Ends the thread, after what it has to do.
    pub(super) fn stop(&self) {
        let thread = self.thread().take();
        if let Some(MaintenanceThread { work, thread }) = thread {
            drop(work);
            if thread.join().is_err() {
                tracing::error!("the thread that seals segments has panicked");
            }
        }
    }

    fn thread(&self) -> std::sync::MutexGuard<'_, Option<MaintenanceThread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MaintenanceWork {
    fn run(&self, work: &Receiver<Work>) {
        self.prepare();
        while let Ok(next) = work.recv() {
            // First, since the writer may wait for it.
            self.prepare();
            if let Work::Seal(segment) = next {
                self.seal(&segment);
            }
        }
    }

    /// A failure is met again, and reported, by the append that needs the segment.
    fn prepare(&self) {
        if let Err(error) = self.preparer.prepare() {
            tracing::debug!(%error, "the next segment of the log cannot be made ready");
        }
    }

    fn seal(&self, segment: &Arc<Segment>) {
        if let Err(error) = self.segments.seal(segment) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}
