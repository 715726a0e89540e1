//! Mailboxes: what crosses from the engine's threads to a worker's, once for a batch with all results
//! for the worker's callers, and once with the events for its live feeds. Waking them is then local to
//! the worker's thread.
//!
//! ```text
//!   completions ──▶ Mailboxes ──┬── shard 0: done at once
//!   applier ──────▶             ├── results ──▶ Mailbox on worker 1 ──▶ callers
//!                               ├── events ───▶                     ──▶ live feeds
//!                               └── …
//! ```
//!
//! A sender never waits for a worker. Results have a channel of their own, which is never full. The
//! channel of the events is bounded: a worker that does not keep up loses what comes then, and its shard
//! *lags*; its streams read on in the log.
//!
//! Nothing here looks into a result.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::yield_now;

use super::completions::Completion;
use crate::config::Limits;
use crate::live::{DeliveryBatch, Dispatcher, LiveFeeds};

/// The sending ends of all mailboxes.
#[derive(Debug)]
pub(super) struct Mailboxes {
    live: LiveFeeds,
    /// Sends to the live feeds that no worker polls.
    direct: Mutex<Dispatcher>,
    /// To the shards from 1.
    senders: Vec<MailboxSender>,
}

/// The sending ends of one mailbox.
#[derive(Debug)]
struct MailboxSender {
    /// Holds no more than the calls in flight on the worker, of which admission bounds those of all
    /// workers: nobody calls there before the worker goes on, which is to take these first.
    results: mpsc::UnboundedSender<Vec<Completion>>,
    events: mpsc::Sender<Arc<DeliveryBatch>>,
}

/// The receiving end of one mailbox. Has to run on its worker.
#[derive(Debug)]
pub struct Mailbox {
    results: mpsc::UnboundedReceiver<Vec<Completion>>,
    events: mpsc::Receiver<Arc<DeliveryBatch>>,
    dispatcher: Dispatcher,
}

impl Mailboxes {
    /// The mailboxes of all shards of `live`: both ends.
    pub(super) fn new(live: &LiveFeeds, limits: &Limits) -> (Self, Vec<Mailbox>) {
        let (senders, mailboxes) = (1..live.shards())
            .map(|shard| {
                let (to_results, results) = mpsc::unbounded_channel();
                let (to_events, events) = mpsc::channel(limits.undispatched_batches_max);
                let mailbox = Mailbox { results, events, dispatcher: live.dispatcher(shard) };
                (MailboxSender { results: to_results, events: to_events }, mailbox)
            })
            .unzip();
        let direct = Mutex::new(live.dispatcher(0));
        (Self { live: live.clone(), direct, senders }, mailboxes)
    }

    /// Sends completions to their callers. Never waits.
    pub(super) fn complete(&self, completions: Vec<Completion>) {
        let mut by_shard: Vec<Vec<Completion>> = Vec::new();
        by_shard.resize_with(self.senders.len(), Vec::new);
        for completion in completions {
            match completion.shard().checked_sub(1).and_then(|worker| by_shard.get_mut(worker)) {
                Some(completions) => completions.push(completion),
                None => completion.send(),
            }
        }
        for (sender, completions) in self.senders.iter().zip(by_shard) {
            if !completions.is_empty() {
                // A worker that has ended has no callers.
                let _ = sender.results.send(completions);
            }
        }
    }

    /// Sends a batch to the live feeds, after it was applied. Only the applier calls it, in the order of
    /// the log. Never waits for a worker.
    pub(super) fn deliver(&self, batch: &Arc<DeliveryBatch>) {
        if self.live.is_watched(0) {
            let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            direct.take(Arc::clone(batch));
            while direct.step() {}
        }
        for (shard, sender) in (1..).zip(&self.senders) {
            // After one that was lost all are, until the shard begins again: it needs them in order.
            if self.live.is_watched(shard)
                && !self.live.is_lagging(shard)
                && let Err(TrySendError::Full(_)) = sender.events.try_send(Arc::clone(batch))
            {
                self.live.lag(shard);
            }
        }
    }

    /// Sends the streams of all live feeds to the log for what was applied last, which cannot be
    /// delivered. Only the applier calls it, as [`Mailboxes::deliver`].
    pub(super) fn lose(&self) {
        for shard in (0..self.live.shards()).filter(|&shard| self.live.is_watched(shard)) {
            self.live.lag(shard);
        }
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        while direct.step() {}
    }

    /// Whether anybody watches on any shard.
    pub(super) fn is_watched(&self) -> bool {
        (0..self.live.shards()).any(|shard| self.live.is_watched(shard))
    }
}

impl Mailbox {
    /// Works until the engine has ended.
    pub async fn run(mut self) {
        loop {
            while let Ok(completions) = self.results.try_recv() {
                completions.into_iter().for_each(Completion::send);
            }
            if self.dispatcher.is_lagging() {
                // Its streams read these in the log, with what was lost after them.
                while self.events.try_recv().is_ok() {}
            }
            while self.dispatcher.has_room()
                && let Ok(batch) = self.events.try_recv()
            {
                self.dispatcher.take(batch);
            }
            if self.dispatcher.step() {
                // Those who were woken come first, and whoever has called meanwhile.
                yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                completions = self.results.recv() => match completions {
                    Some(completions) => completions.into_iter().for_each(Completion::send),
                    None => return,
                },
                Some(batch) = self.events.recv() => self.dispatcher.take(batch),
                () = self.dispatcher.lagged() => {}
            }
        }
    }
}
