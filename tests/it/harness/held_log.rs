//! A log whose appends, reads or batches wait while a test holds them, as on a slow disk or over a
//! slow network.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use whimbrel::model::Revision;
use whimbrel::storage::{Batch, Log};

use super::altered_log::{Alter, AlteredLog};
use super::patience::eventually;

/// Holds calls of a log. Open at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Valve(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    waiting: bool,
}

impl Valve {
    /// From now on calls wait.
    pub(crate) fn shut(&self) {
        self.state().shut = true;
    }

    /// Lets calls through.
    pub(crate) fn open(&self) {
        self.state().shut = false;
        self.0.1.notify_all();
    }

    /// Waits until a call is held.
    pub(crate) async fn holds_one(&self) {
        eventually("a call to be held", async || self.state().waiting.then_some(())).await;
    }

    /// `log`, with its appends held by this valve.
    pub(crate) fn before(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        AlteredLog::new(log, Held { appends: self.clone(), ..Held::default() })
    }

    /// `log`, with its durable batches held by this valve before they are handed out.
    pub(crate) fn behind(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        AlteredLog::new(log, Held { batches: self.clone(), ..Held::default() })
    }

    /// `log`, with its reads in order held by this valve, such as those of a rebuild of the index.
    pub(crate) fn before_reads(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        AlteredLog::new(log, Held { reads: self.clone(), ..Held::default() })
    }

    /// Waits while it is shut.
    pub(crate) fn pass(&self) {
        let mut state = self.state();
        while state.shut {
            state.waiting = true;
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Held {
    appends: Valve,
    reads: Valve,
    batches: Valve,
}

impl Alter for Held {
    fn at_append(&self) {
        self.appends.pass();
    }

    fn at_read(&self) {
        self.reads.pass();
    }

    fn follow(&self, log: &dyn Log, batches_max: usize) -> (Revision, Receiver<Arc<Batch>>) {
        let (head, batches) = log.follow(batches_max);
        let (sender, receiver) = sync_channel(batches_max);
        let valve = self.batches.clone();
        std::thread::spawn(move || {
            for batch in batches {
                valve.pass();
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        (head, receiver)
    }
}
