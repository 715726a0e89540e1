//! Event batches: events that are sent together. A batch never changes after it is made.

use std::sync::Arc;

use super::FeedEvent;
use crate::model::Encoded;

/// Events of a feed, in the order of the log. Feeds with the same events share one batch.
#[derive(Debug)]
pub struct EventBatch {
    events: Vec<Arc<FeedEvent>>,
    wire_bytes_max: usize,
    /// Whether streams have to filter an event of it.
    is_conditional: bool,
    encoded: Encoded,
}

impl EventBatch {
    /// A batch of `events`, which are in the order of the log.
    #[must_use]
    pub fn new(events: Vec<Arc<FeedEvent>>) -> Self {
        debug_assert!(events.is_sorted_by_key(|event| event.revision), "not in the log's order");
        let wire_bytes_max = events.iter().map(|event| event.wire_bytes_max()).sum();
        let is_conditional = events.iter().any(|event| event.is_conditional());
        Self { events, wire_bytes_max, is_conditional, encoded: Encoded::default() }
    }

    pub(super) fn is_conditional(&self) -> bool {
        self.is_conditional
    }

    /// At least the number of bytes that the events take on the wire.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        self.wire_bytes_max
    }

    /// The cell of the events' bytes on the wire.
    #[must_use]
    pub fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// Whether `events` are the events of this batch.
    pub(super) fn has_exactly(&self, events: &[&Arc<FeedEvent>]) -> bool {
        self.events.len() == events.len()
            && self.events.iter().zip(events).all(|(own, other)| Arc::ptr_eq(own, other))
    }
}

impl std::ops::Deref for EventBatch {
    type Target = [Arc<FeedEvent>];

    fn deref(&self) -> &[Arc<FeedEvent>] {
        &self.events
    }
}

impl PartialEq for EventBatch {
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events
    }
}

impl Eq for EventBatch {}
