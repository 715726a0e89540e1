//! The turns to read the index and the log: a few at once, shared fairly among callers. Never reads
//! anything itself.
//!
//! ```text
//!   calls    alice, bob, carol ─┐  each line in turn,
//!                               ├─ and in it each caller ──▶ free turns
//!   patient  bob, the server ───┘
//! ```
//!
//! A caller with a thousand reads has as many turns as one with two: callers take turns, not reads,
//! and one of them never has more than its share. Streams that catch up have a line of their own, so
//! that thousands of them, after a restart, do not keep calls waiting; theirs may be long. That of
//! calls is limited, so that those who are let in have their turn in time: a caller who waits alone
//! may have all of it, and of n callers each an n-th.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::metrics::TurnUse;
use super::{CallerKey, Error, QueryCaller};
use crate::storage;

/// The part of all turns that one caller may have, as a divisor: so others can always begin.
const SHARE_DIVISOR: usize = 2;

/// The turns. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<TurnQueue>>);

/// Permission to read, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    caller: CallerKey,
}

#[derive(Debug)]
struct TurnQueue {
    free: usize,
    share: usize,
    waiting_calls_max: usize,
    /// How many turns each caller has. Those with none are not here.
    running: HashMap<CallerKey, usize>,
    calls: Line,
    patient: Line,
    /// Whether the next turn is for a patient one, if both wait.
    is_for_patient: bool,
}

/// Reads that wait.
#[derive(Debug, Default)]
struct Line {
    /// Of each caller the oldest first. Callers without any are not here.
    reads: HashMap<CallerKey, VecDeque<oneshot::Sender<Turn>>>,
    /// The same callers, the next one first.
    order: VecDeque<CallerKey>,
}

impl Turns {
    /// So many turns at once, at least one, for which so many reads of calls wait.
    pub(super) fn new(turns_max: usize, waiting_calls_max: usize) -> Self {
        let free = turns_max.max(1);
        Self(Arc::new(Mutex::new(TurnQueue {
            free,
            share: free.div_ceil(SHARE_DIVISOR),
            waiting_calls_max,
            running: HashMap::new(),
            calls: Line::default(),
            patient: Line::default(),
            is_for_patient: false,
        })))
    }

    /// Waits for a turn of `caller`.
    ///
    /// # Errors
    /// [`Error::TooManyWait`]; or [`storage::Error::Closed`] if the turns end, which they never do.
    pub(super) async fn take(&self, caller: &QueryCaller) -> Result<Turn, Error> {
        self.wait(caller)?.await.map_err(|_| storage::Error::Closed.into())
    }

    /// The queries that have a turn, and that wait for one.
    pub(super) fn use_of(&self) -> TurnUse {
        let queue = self.queue();
        let waiting = |line: &Line| line.reads.values().map(VecDeque::len).sum();
        TurnUse {
            running: queue.running.values().sum(),
            waiting_calls: waiting(&queue.calls),
            waiting_streams: waiting(&queue.patient),
        }
    }

    /// Gets in line. The turn is sent when it comes.
    ///
    /// # Errors
    /// [`Error::TooManyWait`].
    fn wait(&self, caller: &QueryCaller) -> Result<oneshot::Receiver<Turn>, Error> {
        let (sender, turn) = oneshot::channel();
        let mut queue = self.queue();
        if caller.is_patient() {
            queue.patient.add(caller.key(), sender);
        } else {
            queue.check_room(caller.key())?;
            queue.calls.add(caller.key(), sender);
        }
        let granted = queue.grant(self);
        drop(queue);
        // Delivered without the lock: a turn whose caller has gone is dropped, which locks again.
        granted.into_iter().for_each(Grant::deliver);
        Ok(turn)
    }

    fn queue(&self) -> MutexGuard<'_, TurnQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn for a read that waited for it.
struct Grant(oneshot::Sender<Turn>, Turn);

impl Grant {
    fn deliver(self) {
        // A call that was cancelled meanwhile drops its turn.
        drop(self.0.send(self.1));
    }
}

impl TurnQueue {
    /// Checks that a further call of `caller` may wait.
    ///
    /// # Errors
    /// [`Error::TooManyWait`].
    fn check_room(&self, caller: CallerKey) -> Result<(), Error> {
        let own = self.calls.reads.get(&caller).map_or(0, VecDeque::len);
        if own == 0 && self.free > 0 && has_turns_left(&self.running, self.share, caller) {
            // It does not wait: all who do have their share.
            return Ok(());
        }
        let callers = self.calls.reads.len() + usize::from(own == 0);
        let waiting_max = self.waiting_calls_max / callers;
        if own < waiting_max { Ok(()) } else { Err(Error::TooManyWait { waiting_max }) }
    }

    /// The next reads, as long as there are free turns.
    fn grant(&mut self, turns: &Turns) -> Vec<Grant> {
        let mut granted = Vec::new();
        while self.free > 0 {
            let (running, share) = (&self.running, self.share);
            let is_allowed = |caller| has_turns_left(running, share, caller);
            let of_call = |calls: &mut Line| Some((calls.next(is_allowed)?, true));
            let of_patient = |patient: &mut Line| Some((patient.next(is_allowed)?, false));
            let (calls, patient) = (&mut self.calls, &mut self.patient);
            let next = match self.is_for_patient {
                true => of_patient(patient).or_else(|| of_call(calls)),
                false => of_call(calls).or_else(|| of_patient(patient)),
            };
            let Some(((caller, sender), is_call)) = next else { break };
            self.is_for_patient = is_call;
            self.free -= 1;
            *self.running.entry(caller).or_default() += 1;
            granted.push(Grant(sender, Turn { turns: turns.clone(), caller }));
        }
        granted
    }
}

/// Whether `caller` has less than its share.
fn has_turns_left(running: &HashMap<CallerKey, usize>, share: usize, caller: CallerKey) -> bool {
    running.get(&caller).is_none_or(|&running| running < share)
}

impl Line {
    fn add(&mut self, caller: CallerKey, sender: oneshot::Sender<Turn>) {
        let reads = self.reads.entry(caller).or_default();
        if reads.is_empty() {
            self.order.push_back(caller);
        }
        reads.push_back(sender);
    }

    /// The next read of a caller that is allowed one.
    fn next(
        &mut self,
        is_allowed: impl Fn(CallerKey) -> bool,
    ) -> Option<(CallerKey, oneshot::Sender<Turn>)> {
        for _ in 0..self.order.len() {
            let caller = self.order.pop_front()?;
            if !is_allowed(caller) {
                self.order.push_back(caller);
                continue;
            }
            let Some(reads) = self.reads.get_mut(&caller) else {
                unreachable!("a caller in the order has reads")
            };
            // Those that were cancelled while they waited need no turn.
            while reads.front().is_some_and(oneshot::Sender::is_closed) {
                reads.pop_front();
            }
            let next = reads.pop_front();
            if reads.is_empty() {
                self.reads.remove(&caller);
            } else {
                self.order.push_back(caller);
            }
            if let Some(sender) = next {
                return Some((caller, sender));
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        queue.free += 1;
        match queue.running.get_mut(&self.caller) {
            Some(1) => drop(queue.running.remove(&self.caller)),
            Some(running) => *running -= 1,
            None => unreachable!("a turn is counted as running"),
        }
        let granted = queue.grant(&self.turns);
        drop(queue);
        granted.into_iter().for_each(Grant::deliver);
    }
}
