//! The messages of a live feed in the form that the server sends.
//!
//! On the wire a [`SharedFeedResponse`] is a `WatchFeedResponse`, byte for byte. In memory the
//! events of a batch are encoded once, for their first reader, and all readers share the bytes. The
//! same holds for each single event.
//!
//! Never decodes.

use std::sync::Arc;

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{EncodeError, Message};

use super::stream_responses;
use super::token::{TokenText, cursor_text};
use super::v1::WatchFeedResponse;
use crate::live::{EventBatch, FeedEvent};
use crate::model::{Cursor, Epochs};

/// The field of `WatchFeedResponse` that holds a batch.
const BATCH_TAG: u32 = 2;
/// The fields of `FeedBatch`: the cursors, and the events after them.
const PREV_CURSOR_TAG: u32 = 1;
const CURSOR_TAG: u32 = 2;
const EVENTS_TAG: u32 = 3;

/// One message.
#[derive(Debug)]
pub struct SharedFeedResponse(Response);

#[derive(Debug)]
enum Response {
    /// All events in (`prev`, `cursor`].
    Batch {
        prev: TokenText,
        cursor: TokenText,
        /// They encode themselves once for all readers.
        events: Arc<EventBatch>,
        /// Those of the log, for the ids in the events.
        epochs: Epochs,
    },
    /// Any other message.
    Other(WatchFeedResponse),
}

impl SharedFeedResponse {
    /// The events in (`prev`, `cursor`].
    pub(super) fn batch(
        prev: &Cursor,
        cursor: &Cursor,
        events: Arc<EventBatch>,
        epochs: &Epochs,
    ) -> Self {
        let [prev, cursor] = [prev, cursor].map(|cursor| cursor_text(cursor, epochs));
        Self(Response::Batch { prev, cursor, events, epochs: epochs.clone() })
    }

    /// Any message that is no batch.
    pub(super) fn other(response: WatchFeedResponse) -> Self {
        Self(Response::Other(response))
    }

    /// The length of the encoded message in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match &self.0 {
            Response::Batch { prev, cursor, events, epochs } => {
                let events = events.encoded().get_or_encode(|| encode_events(events, epochs));
                field_len(BATCH_TAG, batch_len(prev, cursor, events))
            }
            Response::Other(response) => response.encoded_len(),
        }
    }

    /// Appends the encoded message to `bytes`.
    ///
    /// # Errors
    /// `bytes` has no room.
    pub fn encode(&self, bytes: &mut impl BufMut) -> Result<(), EncodeError> {
        match &self.0 {
            Response::Batch { prev, cursor, events, epochs } => {
                let events = events.encoded().get_or_encode(|| encode_events(events, epochs));
                put_field_head(BATCH_TAG, batch_len(prev, cursor, events), bytes);
                for (tag, text) in [(PREV_CURSOR_TAG, prev), (CURSOR_TAG, cursor)] {
                    put_field_head(tag, text.as_bytes().len(), bytes);
                    bytes.put_slice(text.as_bytes());
                }
                bytes.put_slice(events);
                Ok(())
            }
            Response::Other(response) => response.encode(bytes),
        }
    }
}

/// The length of an encoded batch.
fn batch_len(prev: &TokenText, cursor: &TokenText, events: &[u8]) -> usize {
    field_len(PREV_CURSOR_TAG, prev.as_bytes().len())
        + field_len(CURSOR_TAG, cursor.as_bytes().len())
        + events.len()
}

/// The length of a field whose value has `value` bytes.
fn field_len(tag: u32, value: usize) -> usize {
    key_len(tag) + encoded_len_varint(value as u64) + value
}

/// Appends the key and the length of a field, before its value of `value` bytes.
fn put_field_head(tag: u32, value: usize, bytes: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, bytes);
    encode_varint(value as u64, bytes);
}

/// The events as the repeated field of a batch.
fn encode_events(events: &[Arc<FeedEvent>], epochs: &Epochs) -> Vec<u8> {
    let encode = |event: &FeedEvent| stream_responses::feed_event(event, epochs).encode_to_vec();
    let encoded: Vec<_> =
        events.iter().map(|event| event.encoded().get_or_encode(|| encode(event))).collect();
    let length = encoded.iter().map(|event| field_len(EVENTS_TAG, event.len())).sum();
    let mut bytes = Vec::with_capacity(length);
    for event in encoded {
        put_field_head(EVENTS_TAG, event.len(), &mut bytes);
        bytes.put_slice(event);
    }
    bytes
}
