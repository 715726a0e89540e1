//! What crosses from the engine's threads to a worker's: once for a batch, with all that concerns
//! the worker's callers, and once with what concerns its readers. Waking them is then the worker's
//! own affair.
//!
//! ```text
//!   applier ──▶ Mailboxes ──┬── lane 0: done at once
//!                          ├── answers ──▶ Mailbox on worker 1 ──▶ callers
//!                          ├── events ───▶                    ──▶ live feeds
//!                          └── …
//! ```
//!
//! Whoever brings something never waits for a worker. Answers have a way of their own, which is never
//! full. The way of the events has an end: a worker that does not keep up loses what comes then, and
//! its lane *lags*, as the hub calls it; its streams read on in the log.
//!
//! Knows nothing of what the answers say.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::yield_now;

use super::completions::Completion;
use crate::config::Limits;
use crate::live::{DeliveryBatch, Dispatcher, LiveFeeds};

/// The ways to the workers.
#[derive(Debug)]
pub(super) struct Mailboxes {
    hub: LiveFeeds,
    /// Tells the live feeds that no worker polls.
    direct: Mutex<Dispatcher>,
    /// To the lanes from 1.
    ways: Vec<MailboxSender>,
}

/// The ways to one worker.
#[derive(Debug)]
struct MailboxSender {
    /// Holds no more than the calls that are under way on the worker, of which admission bounds those
    /// of all workers: nobody calls there before the worker goes on, which is to take these first.
    answers: mpsc::UnboundedSender<Vec<Completion>>,
    events: mpsc::Sender<Arc<DeliveryBatch>>,
}

/// Takes in what is brought to one worker. Has to run there.
#[derive(Debug)]
pub struct Mailbox {
    answers: mpsc::UnboundedReceiver<Vec<Completion>>,
    events: mpsc::Receiver<Arc<DeliveryBatch>>,
    dispatcher: Dispatcher,
}

impl Mailboxes {
    /// The ways to all lanes of `hub`, and who waits at their ends.
    pub(super) fn new(hub: &LiveFeeds, limits: &Limits) -> (Self, Vec<Mailbox>) {
        let (ways, porters) = (1..hub.lanes())
            .map(|lane| {
                let (to_answers, answers) = mpsc::unbounded_channel();
                let (to_events, events) = mpsc::channel(limits.undispatched_batches_max);
                let porter = Mailbox { answers, events, dispatcher: hub.dispatcher(lane) };
                (MailboxSender { answers: to_answers, events: to_events }, porter)
            })
            .unzip();
        let direct = Mutex::new(hub.dispatcher(0));
        (Self { hub: hub.clone(), direct, ways }, porters)
    }

    /// Brings `answers` to their callers. Never waits.
    pub(super) fn answer(&self, answers: Vec<Completion>) {
        let mut by_lane: Vec<Vec<Completion>> = Vec::new();
        by_lane.resize_with(self.ways.len(), Vec::new);
        for answer in answers {
            match answer.lane().checked_sub(1).and_then(|worker| by_lane.get_mut(worker)) {
                Some(answers) => answers.push(answer),
                None => answer.send(),
            }
        }
        for (way, answers) in self.ways.iter().zip(by_lane) {
            if !answers.is_empty() {
                // A worker that has ended has no callers.
                let _ = way.answers.send(answers);
            }
        }
    }

    /// Brings `dispatch` to the live feeds, after it was applied. Only the applier calls it, in the
    /// order of the log. Never waits for a worker.
    pub(super) fn dispatch(&self, dispatch: &Arc<DeliveryBatch>) {
        if self.hub.is_watched(0) {
            let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            direct.take(Arc::clone(dispatch));
            while direct.step() {}
        }
        for (lane, way) in (1..).zip(&self.ways) {
            // After one that was lost all are, until the lane begins afresh: it has them in order.
            if self.hub.is_watched(lane)
                && !self.hub.is_lagging(lane)
                && let Err(TrySendError::Full(_)) = way.events.try_send(Arc::clone(dispatch))
            {
                self.hub.lag(lane);
            }
        }
    }

    /// Sends the streams of all live feeds to the log, for what was applied last: what that is to them
    /// cannot be said. Only the applier calls it, as [`Mailboxes::dispatch`].
    pub(super) fn lose(&self) {
        for lane in (0..self.hub.lanes()).filter(|&lane| self.hub.is_watched(lane)) {
            self.hub.lag(lane);
        }
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        while direct.step() {}
    }

    /// Whether anybody watches anywhere.
    pub(super) fn is_watched(&self) -> bool {
        (0..self.hub.lanes()).any(|lane| self.hub.is_watched(lane))
    }
}

impl Mailbox {
    /// Works until the engine has ended.
    pub async fn run(mut self) {
        loop {
            while let Ok(answers) = self.answers.try_recv() {
                answers.into_iter().for_each(Completion::send);
            }
            if self.dispatcher.is_lagging() {
                // Its streams read these in the log, with what was lost after them.
                while self.events.try_recv().is_ok() {}
            }
            while self.dispatcher.has_room()
                && let Ok(dispatch) = self.events.try_recv()
            {
                self.dispatcher.take(dispatch);
            }
            if self.dispatcher.step() {
                // Those who were woken come first, and whoever has called meanwhile.
                yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                answers = self.answers.recv() => match answers {
                    Some(answers) => answers.into_iter().for_each(Completion::send),
                    None => return,
                },
                Some(dispatch) = self.events.recv() => self.dispatcher.take(dispatch),
                () = self.dispatcher.lagged() => {}
            }
        }
    }
}
