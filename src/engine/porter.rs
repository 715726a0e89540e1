//! What crosses from the engine's threads to a worker's: once for a batch, with all that concerns
//! the worker's callers and readers. Waking them is then the worker's own affair.
//!
//! ```text
//!   applier ──▶ Carriers ──┬── lane 0: done at once
//!                          ├── parcel ──▶ Porter on worker 1 ──▶ answers, live feeds
//!                          └── parcel ──▶ Porter on worker 2
//! ```
//!
//! Knows nothing of what the answers say.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::replies::Answer;
use crate::config::Limits;
use crate::hub::{Dispatch, Dispatcher, Hub};

/// What a worker is brought.
#[derive(Debug)]
struct Parcel {
    dispatch: Option<Arc<Dispatch>>,
    answers: Vec<Answer>,
}

/// The ways to the workers.
#[derive(Debug)]
pub(super) struct Carriers {
    hub: Hub,
    /// Tells the live feeds that no worker polls.
    direct: Mutex<Dispatcher>,
    /// To the lanes from 1.
    inboxes: Vec<mpsc::Sender<Parcel>>,
}

/// Takes in what is brought to one worker. Has to run there.
#[derive(Debug)]
pub struct Porter {
    inbox: mpsc::Receiver<Parcel>,
    dispatcher: Dispatcher,
}

impl Carriers {
    /// The ways to all lanes of `hub`, and who waits at their ends.
    pub(super) fn new(hub: &Hub, limits: &Limits) -> (Self, Vec<Porter>) {
        let (inboxes, porters) = (1..hub.lanes())
            .map(|lane| {
                let (sender, inbox) = mpsc::channel(limits.undispatched_batches_max);
                (sender, Porter { inbox, dispatcher: hub.dispatcher(lane) })
            })
            .unzip();
        let direct = Mutex::new(hub.dispatcher(0));
        (Self { hub: hub.clone(), direct, inboxes }, porters)
    }

    /// Brings `answers` to their callers and `dispatch`, which must be applied and come in order,
    /// to the live feeds. Waits while a worker has too much to do.
    pub(super) fn bring(&self, dispatch: Option<Arc<Dispatch>>, answers: Vec<Answer>) {
        let watched = |lane| dispatch.clone().filter(|_| self.hub.is_watched(lane));
        if let Some(dispatch) = watched(0) {
            let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            direct.take(dispatch);
            while direct.step() {}
        }
        let mut by_lane: Vec<Vec<Answer>> = Vec::new();
        by_lane.resize_with(self.inboxes.len(), Vec::new);
        for answer in answers {
            match answer.lane().checked_sub(1).and_then(|worker| by_lane.get_mut(worker)) {
                Some(answers) => answers.push(answer),
                None => answer.send(),
            }
        }
        for ((lane, inbox), answers) in (1..).zip(&self.inboxes).zip(by_lane) {
            let dispatch = watched(lane);
            if dispatch.is_some() || !answers.is_empty() {
                // A worker that has ended has neither callers nor readers.
                let _ = inbox.blocking_send(Parcel { dispatch, answers });
            }
        }
    }

    /// Whether anybody watches anywhere.
    pub(super) fn is_watched(&self) -> bool {
        (0..self.hub.lanes()).any(|lane| self.hub.is_watched(lane))
    }
}

impl Porter {
    /// Works until the engine has ended.
    pub async fn run(mut self) {
        loop {
            while self.dispatcher.has_room()
                && let Ok(parcel) = self.inbox.try_recv()
            {
                self.open(parcel);
            }
            if self.dispatcher.step() {
                // Those who were woken come first, and whoever has called meanwhile.
                yield_now().await;
            } else {
                match self.inbox.recv().await {
                    Some(parcel) => self.open(parcel),
                    None => return,
                }
            }
        }
    }

    fn open(&mut self, parcel: Parcel) {
        parcel.answers.into_iter().for_each(Answer::send);
        if let Some(dispatch) = parcel.dispatch {
            self.dispatcher.take(dispatch);
        }
    }
}
