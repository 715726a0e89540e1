//! Mailboxes: the channels from the engine's threads to a worker's thread. For each batch a worker
//! receives one message with all results for its callers, and one with the events for its live
//! feeds. The wakeups are then local to the worker's thread.
//!
//! ```text
//!   completions ──▶ Mailboxes ──┬── shard 0: sent at once
//!   applier ──────▶             ├── results ──▶ Mailbox on worker 1 ──▶ callers
//!                               ├── events ───▶                     ──▶ live feeds
//!                               └── …
//! ```
//!
//! A sender never waits for a worker. The channel of results is never full. The channel of events
//! is limited: if it is full, the worker loses the batch, and its shard *lags*: its streams
//! continue from the log.

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
    /// The dispatcher of shard 0, which no worker polls.
    direct: Mutex<Dispatcher>,
    /// The senders to the shards from 1 on.
    senders: Vec<MailboxSender>,
}

/// The sending ends of one mailbox.
#[derive(Debug)]
struct MailboxSender {
    /// Holds at most one result per call in flight on the worker, and admission limits the calls of
    /// all workers. The worker takes all results before it accepts new calls.
    results: mpsc::UnboundedSender<Vec<Completion>>,
    events: mpsc::Sender<Arc<DeliveryBatch>>,
}

/// The receiving end of one mailbox. Must run on its worker.
#[derive(Debug)]
pub struct Mailbox {
    results: mpsc::UnboundedReceiver<Vec<Completion>>,
    events: mpsc::Receiver<Arc<DeliveryBatch>>,
    dispatcher: Dispatcher,
}

impl Mailboxes {
    /// Both ends of the mailboxes of all shards of `live`.
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
                // Fails only if the worker has ended, which then has no callers.
                let _ = sender.results.send(completions);
            }
        }
    }

    /// Sends an applied batch to the live feeds. Only the applier calls it, in the order of the
    /// log. Never waits for a worker.
    pub(super) fn deliver(&self, batch: &Arc<DeliveryBatch>) {
        if self.live.is_watched(0) {
            let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            direct.push(Arc::clone(batch));
            while direct.step() {}
        }
        for (shard, sender) in (1..).zip(&self.senders) {
            // While the shard lags it gets no batch: it needs them without gaps.
            if self.live.is_watched(shard)
                && !self.live.is_lagging(shard)
                && let Err(TrySendError::Full(_)) = sender.events.try_send(Arc::clone(batch))
            {
                self.live.lag(shard);
            }
        }
    }

    /// Makes all shards lag, because the last batch cannot be delivered. Only the applier calls it,
    /// as [`Mailboxes::deliver`].
    pub(super) fn lose(&self) {
        for shard in (0..self.live.shards()).filter(|&shard| self.live.is_watched(shard)) {
            self.live.lag(shard);
        }
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        while direct.step() {}
    }

    /// Whether any shard has streams.
    pub(super) fn is_watched(&self) -> bool {
        (0..self.live.shards()).any(|shard| self.live.is_watched(shard))
    }
}

impl Mailbox {
    /// Runs until the engine has ended.
    pub async fn run(mut self) {
        loop {
            while let Ok(completions) = self.results.try_recv() {
                completions.into_iter().for_each(Completion::send);
            }
            if self.dispatcher.is_lagging() {
                // Streams read these batches from the log, together with the lost ones.
                while self.events.try_recv().is_ok() {}
            }
            while self.dispatcher.has_room()
                && let Ok(batch) = self.events.try_recv()
            {
                self.dispatcher.push(batch);
            }
            if self.dispatcher.step() {
                // The woken streams and new calls run first.
                yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                completions = self.results.recv() => match completions {
                    Some(completions) => completions.into_iter().for_each(Completion::send),
                    None => return,
                },
                Some(batch) = self.events.recv() => self.dispatcher.push(batch),
                () = self.dispatcher.lagged() => {}
            }
        }
    }
}
