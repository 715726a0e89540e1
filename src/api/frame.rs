//! The messages of a live feed as the server sends them.
//!
//! On the wire a [`Frame`] is a `WatchFeedResponse` like any other, byte for byte. In memory the
//! events of a batch are bytes already: an event is encoded for the first reader it is sent to, a
//! run of them likewise, and all others share that.
//!
//! Nothing here is ever decoded.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{EncodeError, Message};

use super::steps;
use super::v1::WatchFeedResponse;
use crate::live::{EventBatch, FeedEvent};

/// The field of `WatchFeedResponse` that holds a batch.
const BATCH_TAG: u32 = 2;
/// The field of `WatchFeedResponse.Batch` that holds the events.
const EVENTS_TAG: u32 = 3;

/// One message.
#[derive(Debug)]
pub enum Frame {
    /// A batch of events.
    Batch {
        /// All but the events.
        cursors: Cursors,
        /// The events.
        events: Arc<EventBatch>,
    },
    /// Any other.
    Other(WatchFeedResponse),
}

/// `WatchFeedResponse.Batch` without its events, which are its last field.
#[derive(Clone, PartialEq, Message)]
pub struct Cursors {
    #[prost(string, tag = "1")]
    prev_cursor: String,
    #[prost(string, tag = "2")]
    cursor: String,
}

impl Frame {
    /// The events in (`prev_cursor`, `cursor`].
    pub(super) fn batch(prev_cursor: String, cursor: String, events: Arc<EventBatch>) -> Self {
        Self::Batch { cursors: Cursors { prev_cursor, cursor }, events }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Batch { cursors, events } => {
                let batch = cursors.encoded_len() + events.encoded(encode_run).len();
                key_len(BATCH_TAG) + encoded_len_varint(batch as u64) + batch
            }
            Self::Other(response) => response.encoded_len(),
        }
    }

    /// Appends its bytes.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn encode(&self, bytes: &mut impl BufMut) -> Result<(), EncodeError> {
        match self {
            Self::Batch { cursors, events } => {
                let events = events.encoded(encode_run);
                encode_key(BATCH_TAG, WireType::LengthDelimited, bytes);
                encode_varint((cursors.encoded_len() + events.len()) as u64, bytes);
                cursors.encode(bytes)?;
                bytes.put_slice(events);
                Ok(())
            }
            Self::Other(response) => response.encode(bytes),
        }
    }
}

/// The events as the field that they are in a batch.
fn encode_run(events: &[Arc<FeedEvent>]) -> Bytes {
    let encoded: Vec<Bytes> = events.iter().map(|event| event.encoded(encode_event)).collect();
    let field_len =
        |event: &Bytes| key_len(EVENTS_TAG) + encoded_len_varint(event.len() as u64) + event.len();
    let mut bytes = BytesMut::with_capacity(encoded.iter().map(field_len).sum());
    for event in encoded {
        encode_key(EVENTS_TAG, WireType::LengthDelimited, &mut bytes);
        encode_varint(event.len() as u64, &mut bytes);
        bytes.put_slice(&event);
    }
    bytes.freeze()
}

fn encode_event(event: &FeedEvent) -> Bytes {
    steps::feed_event(event).encode_to_vec().into()
}
