//! Checks of the index against the log while both are in use, on a thread with low priority. Never delays
//! an append, and never changes a row: what it finds is damage, which the indexer repairs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Engine, Error};
use crate::model::Revision;
use crate::runtime::lower_priority;
use crate::state::IndexCheck;
use crate::storage::{self, Index, Log};

/// Checks at once: each reads all of the log and the index, and two only take the disk from each other.
pub(super) const CHECKS_MAX: usize = 1;
/// Events that are read from the log at once.
const READ_EVENTS_MAX: usize = 1_024;
/// Time between two steps that are sent.
const STEP_INTERVAL: Duration = Duration::from_millis(500);
/// Steps that wait for the client. One that finds no room is left out, but for the last.
const STEPS_MAX: usize = 2;

/// How far a check of the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexCheckStep {
    /// The last revision that was read.
    pub revision: Revision,
    /// The last revision that the index has.
    pub until: Revision,
    /// The rows that were compared.
    pub rows: u64,
    /// Whether all rows were: they are those that the log gives.
    pub is_done: bool,
}

/// Why a check of the index ends too early.
#[derive(Debug, thiserror::Error)]
pub enum IndexCheckError {
    /// A row is damaged, or is not the one that the log gives.
    #[error("{0}; the server rebuilds the index from the log")]
    Damaged(storage::Error),
    /// The index is lost for another reason, or the log cannot be read.
    #[error(transparent)]
    Unreadable(#[from] storage::Error),
}

/// The steps of a check. Dropping it ends the check.
#[derive(Debug)]
pub struct IndexCheckSteps(mpsc::Receiver<Result<IndexCheckStep, IndexCheckError>>);

/// Sends steps, now and then.
struct StepSender {
    steps: mpsc::Sender<Result<IndexCheckStep, IndexCheckError>>,
    step: IndexCheckStep,
    sent: Instant,
}

impl Engine {
    /// Checks all rows of the index against the log.
    ///
    /// # Errors
    /// A check is under way, or the system refuses a thread.
    pub fn check_index(&self) -> Result<IndexCheckSteps, Error> {
        let permit = Arc::clone(&self.0.index_checks).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded)?;
        let (log, index) = (Arc::clone(&self.state().log), self.state().index().cloned());
        let rows_bytes_max = self.0.limits.now().index_check_bytes_max;
        let (steps, received) = mpsc::channel(STEPS_MAX);
        let run = move || run(&*log, (index.as_deref(), rows_bytes_max), steps, permit);
        match std::thread::Builder::new().name("whimbrel-check".to_owned()).spawn(run) {
            Ok(_thread) => Ok(IndexCheckSteps(received)),
            Err(error) => {
                tracing::warn!(%error, "no thread for a check of the index");
                Err(Error::Overloaded)
            }
        }
    }
}

impl IndexCheckSteps {
    /// The next step; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<IndexCheckStep, IndexCheckError>> {
        self.0.recv().await
    }
}

fn run(
    log: &dyn Log,
    (index, rows_bytes_max): (Option<&Index>, usize),
    steps: mpsc::Sender<Result<IndexCheckStep, IndexCheckError>>,
    permit: OwnedSemaphorePermit,
) {
    lower_priority();
    let (revision, until) = (Revision::ZERO, Revision::ZERO);
    let step = IndexCheckStep { revision, until, rows: 0, is_done: false };
    let mut sender = StepSender { steps, step, sent: Instant::now() };
    let checked =
        index.map_or(Ok(Some(0)), |index| check(log, (index, rows_bytes_max), &mut sender));
    // Before the end is sent: who has it may ask for another check.
    drop(permit);
    let last = match checked {
        Ok(None) => return,
        Ok(Some(rows)) => Ok(IndexCheckStep { rows, is_done: true, ..sender.step }),
        Err(error @ storage::Error::IndexLost { .. }) => {
            // It may be repaired by now.
            let loss = index.and_then(Index::loss);
            Err(match loss.is_none_or(|loss| loss.is_damage) {
                true => IndexCheckError::Damaged(error),
                false => IndexCheckError::Unreadable(error),
            })
        }
        Err(error) => Err(error.into()),
    };
    // Nobody is there to be answered if it fails.
    let _ = sender.steps.blocking_send(last);
}

/// The number of rows; `None` if nobody receives the steps any more.
fn check(
    log: &dyn Log,
    (index, rows_bytes_max): (&Index, usize),
    sender: &mut StepSender,
) -> Result<Option<u64>, storage::Error> {
    let view = index.view()?;
    let mut check = IndexCheck::new(&view, rows_bytes_max)?;
    let until = view.complete_until();
    sender.step.until = until;
    while sender.step.revision < until {
        let from = sender.step.revision;
        let left = usize::try_from(until.get() - from.get()).unwrap_or(READ_EVENTS_MAX);
        let entries = log.read(from, left.min(READ_EVENTS_MAX))?;
        assert!(!entries.is_empty(), "the log has all that the index has");
        for entry in &entries {
            check.apply(entry.revision, &entry.event)?;
            sender.step.revision = entry.revision;
        }
        if !sender.goes_on() {
            return Ok(None);
        }
    }
    check.compare(&view, &mut |rows| {
        sender.step.rows = rows;
        sender.goes_on()
    })
}

impl StepSender {
    /// Whether somebody receives the steps.
    fn goes_on(&mut self) -> bool {
        if self.sent.elapsed() >= STEP_INTERVAL {
            self.sent = Instant::now();
            // Without room, a later one says more.
            let _ = self.steps.try_send(Ok(self.step));
        }
        !self.steps.is_closed()
    }
}
