//! The channel of one watched feed: the batches that not all of its streams have received yet. It takes
//! memory only while there are some, because nearly all feeds have none nearly all of the time.
//!
//! ```text
//!   send ──▶ batch, batch, batch ──▶ received by all streams: dropped
//!              │      └ next of a stream
//!              └ first
//! ```
//!
//! Never waits for a stream: with too many batches the oldest is dropped, and a stream that has not
//! received it notices that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use super::super::EventBatch;

/// A channel and its streams.
#[derive(Debug)]
pub(super) struct Channel {
    batches: VecDeque<Arc<EventBatch>>,
    /// The number of the first of `batches`, counted from the first that was ever sent.
    first: u64,
    streams: Slab<ChannelStream>,
}

/// A stream of the feed.
#[derive(Debug)]
struct ChannelStream {
    /// Woken by each batch; `None` of a stream that does not wait yet.
    waker: Option<Waker>,
    /// The number of the next batch that it receives.
    next: u64,
}

/// What a stream receives.
#[derive(Debug)]
pub(in crate::live) enum Received {
    /// The next batch.
    Batch(Arc<EventBatch>),
    /// It has received all batches.
    Nothing,
    /// Batches were dropped before it received them.
    Overrun,
}

impl Channel {
    /// A channel without streams.
    pub(super) fn new() -> Self {
        // Nearly every feed has one stream.
        Self { batches: VecDeque::new(), first: 0, streams: Slab::with_capacity(1) }
    }

    /// Adds a stream, which receives all later batches. Returns its number.
    pub(super) fn join(&mut self) -> usize {
        let next = self.first + self.batches.len() as u64;
        self.streams.insert(ChannelStream { waker: None, next })
    }

    /// Removes a stream, and returns its waker.
    pub(super) fn leave(&mut self, stream: usize) -> Option<Waker> {
        let left = self.streams.remove(stream);
        self.drop_received();
        left.waker
    }

    /// Whether there is no stream.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Has each batch wake `waker`. Returns the stream's waker of before.
    pub(super) fn set_waker(&mut self, stream: usize, waker: Waker) -> Option<Waker> {
        self.streams[stream].waker.replace(waker)
    }

    /// Sends `batch` to all streams, and wakes them. Keeps at most `batches_max` batches.
    pub(super) fn send(&mut self, batch: Arc<EventBatch>, batches_max: usize) {
        if self.batches.len() >= batches_max {
            self.drop_first();
        }
        self.batches.push_back(batch);
        let wakers = self.streams.iter().filter_map(|(_, stream)| stream.waker.as_ref());
        wakers.for_each(Waker::wake_by_ref);
    }

    /// What `stream` receives next. After an overrun it receives the batches that are left.
    pub(super) fn receive(&mut self, stream: usize) -> Received {
        let stream = &mut self.streams[stream];
        let Some(offset) = stream.next.checked_sub(self.first) else {
            stream.next = self.first;
            return Received::Overrun;
        };
        let Some(batch) = self.batches.get(offset as usize).cloned() else {
            return Received::Nothing;
        };
        stream.next += 1;
        if offset == 0 {
            self.drop_received();
        }
        Received::Batch(batch)
    }

    /// Drops the batches that all streams have received.
    fn drop_received(&mut self) {
        let end = self.first + self.batches.len() as u64;
        let next = self.streams.iter().map(|(_, stream)| stream.next).min().unwrap_or(end);
        while self.first < next {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.batches.pop_front();
        self.first += 1;
    }
}
