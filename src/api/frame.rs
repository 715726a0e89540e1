//! The messages of a live feed as the server sends them.
//!
//! On the wire a [`Frame`] is a `WatchFeedResponse` like any other, byte for byte. In memory the
//! events of a batch are bytes already: an event is encoded for the first reader it is sent to, and
//! the others share that.
//!
//! Nothing here is ever decoded.

use bytes::{BufMut, Bytes};
use prost::{EncodeError, Message};

use super::convert;
use super::token::encode_cursor;
use super::v1::WatchFeedResponse;
use crate::hub::{FeedEvent, Step};

/// One message.
#[derive(Debug)]
pub enum Frame {
    /// A batch of events.
    Batch(ResponseWithBatch),
    /// Any other.
    Other(WatchFeedResponse),
}

/// `WatchFeedResponse`, as far as it holds a batch.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseWithBatch {
    #[prost(message, required, tag = "2")]
    batch: Batch,
}

/// `WatchFeedResponse.Batch` with encoded events: embedded messages and bytes look the same.
#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(string, tag = "1")]
    prev_cursor: String,
    #[prost(string, tag = "2")]
    cursor: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    events: Vec<Bytes>,
}

impl From<Step> for Frame {
    fn from(step: Step) -> Self {
        match step {
            Step::Batch { prev, cursor, events } => {
                let (prev_cursor, cursor) = (encode_cursor(&prev), encode_cursor(&cursor));
                let events = events.iter().map(|event| event.encoded(encode)).collect();
                Self::Batch(ResponseWithBatch { batch: Batch { prev_cursor, cursor, events } })
            }
            step => Self::Other(convert::step(step)),
        }
    }
}

impl Frame {
    /// Appends its bytes.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn encode(&self, bytes: &mut impl BufMut) -> Result<(), EncodeError> {
        match self {
            Self::Batch(response) => response.encode(bytes),
            Self::Other(response) => response.encode(bytes),
        }
    }
}

fn encode(event: &FeedEvent) -> Bytes {
    convert::feed_event(event).encode_to_vec().into()
}
