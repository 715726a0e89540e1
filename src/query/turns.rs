//! The turns to read the index and the log: a few at once, shared fairly among callers. Never reads
//! anything itself.
//!
//! A caller with a thousand reads has as many turns as one with two: callers take turns, not reads,
//! and one of them never has more than its share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::CallerKey;

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
    callers: HashMap<CallerKey, CallerTurns>,
    /// The callers with a waiting read, the next one first. Each is here once.
    order: VecDeque<CallerKey>,
}

#[derive(Debug, Default)]
struct CallerTurns {
    running: usize,
    /// Bounded by the calls and streams that are open.
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

impl Turns {
    /// So many turns at once, at least one.
    pub(super) fn new(turns_max: usize) -> Self {
        let free = turns_max.max(1);
        let share = free.div_ceil(SHARE_DIVISOR);
        let (callers, order) = (HashMap::new(), VecDeque::new());
        Self(Arc::new(Mutex::new(TurnQueue { free, share, callers, order })))
    }

    /// Waits for a turn of `caller`. `None` if the turns end, which they never do.
    pub(super) async fn take(&self, caller: CallerKey) -> Option<Turn> {
        self.wait(caller).await.ok()
    }

    /// Gets in line. The turn is sent when it comes.
    fn wait(&self, caller: CallerKey) -> oneshot::Receiver<Turn> {
        let (sender, turn) = oneshot::channel();
        let mut queue = self.queue();
        let waiting = &mut queue.callers.entry(caller).or_default().waiting;
        waiting.push_back(sender);
        if waiting.len() == 1 {
            queue.order.push_back(caller);
        }
        let granted = queue.grant(self);
        drop(queue);
        // Delivered without the lock: a turn whose caller has gone is dropped, which locks again.
        granted.into_iter().for_each(Grant::deliver);
        turn
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
    /// The next reads, as long as there are free turns: a read of each caller in its order, and none
    /// of those that have their share.
    fn grant(&mut self, turns: &Turns) -> Vec<Grant> {
        let mut granted = Vec::new();
        let mut passed_over = 0;
        while self.free > 0 && passed_over < self.order.len() {
            let Some(caller) = self.order.pop_front() else { break };
            let own = self.callers.entry(caller).or_default();
            if own.running >= self.share {
                self.order.push_back(caller);
                passed_over += 1;
                continue;
            }
            // Those that were cancelled while they waited need none.
            while own.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                own.waiting.pop_front();
            }
            if let Some(sender) = own.waiting.pop_front() {
                own.running += 1;
                self.free -= 1;
                passed_over = 0;
                granted.push(Grant(sender, Turn { turns: turns.clone(), caller }));
            }
            if !own.waiting.is_empty() {
                self.order.push_back(caller);
            } else if own.running == 0 {
                self.callers.remove(&caller);
            }
        }
        granted
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        queue.free += 1;
        if let Some(own) = queue.callers.get_mut(&self.caller) {
            own.running -= 1;
            if own.running == 0 && own.waiting.is_empty() {
                queue.callers.remove(&self.caller);
            }
        }
        let granted = queue.grant(&self.turns);
        drop(queue);
        granted.into_iter().for_each(Grant::deliver);
    }
}
