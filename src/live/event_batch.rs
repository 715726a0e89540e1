//! Events that are sent together.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::FeedEvent;

/// Some events of a feed, in order. All feeds that are sent the same events share one.
#[derive(Debug)]
pub struct EventBatch {
    events: Vec<Arc<FeedEvent>>,
    wire_bytes_max: usize,
    /// Whether it has an event that concerns some of the streams that receive it and others not.
    is_conditional: bool,
    /// Its bytes on the wire, once somebody has encoded them.
    encoded: OnceLock<Bytes>,
}

impl EventBatch {
    /// These events.
    #[must_use]
    pub fn new(events: Vec<Arc<FeedEvent>>) -> Self {
        let wire_bytes_max = events.iter().map(|event| event.wire_bytes_max()).sum();
        let is_conditional = events.iter().any(|event| event.is_conditional());
        Self { events, wire_bytes_max, is_conditional, encoded: OnceLock::new() }
    }

    pub(super) fn is_conditional(&self) -> bool {
        self.is_conditional
    }

    /// At least as many bytes as the events take on the wire.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        self.wire_bytes_max
    }

    /// The events' bytes on the wire. The first caller encodes them, with `encode`; all later callers
    /// share the bytes.
    pub fn encoded(&self, encode: impl FnOnce(&[Arc<FeedEvent>]) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.events))
    }

    /// Whether these are its events.
    pub(super) fn is_of(&self, events: &[&Arc<FeedEvent>]) -> bool {
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
