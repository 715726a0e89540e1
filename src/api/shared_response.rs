//! The messages of a live feed in the form that the server sends.
//!
//! On the wire a [`SharedFeedResponse`] is a `WatchFeedResponse`, byte for byte. In memory the
//! events of a batch are encoded once, for their first reader, and all readers share the bytes. The
//! same holds for each single event.
//!
//! Never decodes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{EncodeError, Message};

use super::stream_responses;
use super::v1::WatchFeedResponse;
use crate::live::{EventBatch, FeedEvent};
use crate::model::Epochs;

/// The field of `WatchFeedResponse` that holds a batch.
const BATCH_TAG: u32 = 2;
/// The field of `WatchFeedResponse.Batch` that holds the events.
const EVENTS_TAG: u32 = 3;

/// One message.
#[derive(Debug)]
pub enum SharedFeedResponse {
    /// A batch of events.
    Batch {
        /// All fields of the batch but the events.
        cursors: BatchCursors,
        /// The events, which encode themselves once for all readers.
        events: Arc<EventBatch>,
        /// Those of the log, for the ids in the events.
        epochs: Epochs,
    },
    /// Any other message.
    Other(WatchFeedResponse),
}

/// `WatchFeedResponse.Batch` without its events, which are its last field.
#[derive(Clone, PartialEq, Message)]
pub struct BatchCursors {
    #[prost(string, tag = "1")]
    prev_cursor: String,
    #[prost(string, tag = "2")]
    cursor: String,
}

impl SharedFeedResponse {
    /// The events in (`prev_cursor`, `cursor`].
    pub(super) fn batch(
        prev_cursor: String,
        cursor: String,
        events: Arc<EventBatch>,
        epochs: Epochs,
    ) -> Self {
        Self::Batch { cursors: BatchCursors { prev_cursor, cursor }, events, epochs }
    }

    /// The length of the encoded message in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Batch { cursors, events, epochs } => {
                let batch = cursors.encoded_len()
                    + events.encoded(|events| encode_events(events, epochs)).len();
                key_len(BATCH_TAG) + encoded_len_varint(batch as u64) + batch
            }
            Self::Other(response) => response.encoded_len(),
        }
    }

    /// Appends the encoded message to `bytes`.
    ///
    /// # Errors
    /// `bytes` has no room.
    pub fn encode(&self, bytes: &mut impl BufMut) -> Result<(), EncodeError> {
        match self {
            Self::Batch { cursors, events, epochs } => {
                let events = events.encoded(|events| encode_events(events, epochs));
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

/// The events as the repeated field of a batch.
fn encode_events(events: &[Arc<FeedEvent>], epochs: &Epochs) -> Bytes {
    let encoded: Vec<Bytes> =
        events.iter().map(|event| event.encoded(|event| encode_event(event, epochs))).collect();
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

fn encode_event(event: &FeedEvent, epochs: &Epochs) -> Bytes {
    stream_responses::feed_event(event, epochs).encode_to_vec().into()
}
