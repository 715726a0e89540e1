//! The records of `log.redb`. They are never written.
//!
//! ```text
//!   ┌──────────────┬─────────────────────────────────────┐
//!   │ CRC-32 (4 B) │ EventRecord, in Protobuf's encoding │
//!   └──────────────┴─────────────────────────────────────┘
//!     little-endian, over the revision (8 B, little-endian) and the EventRecord
//! ```
//!
//! A post is one message here; in the log in segments its content is a part of its own.

use prost::Message;

use crate::model::{Event, Revision};
use crate::storage::log::codec::from_event_record;
use crate::storage::log::event_record::EventRecord;

const CHECK_BYTES: usize = 4;

/// Decodes the record of `revision`.
///
/// # Errors
/// A description of the damage.
pub(super) fn decode(revision: Revision, bytes: &[u8]) -> Result<Event, String> {
    let damaged = |what: &str| format!("the record of revision {revision} {what}");
    let (stored, record) =
        bytes.split_first_chunk::<CHECK_BYTES>().ok_or_else(|| damaged("is too short"))?;
    let mut check = crc32fast::Hasher::new();
    check.update(&revision.get().to_le_bytes());
    check.update(record);
    if u32::from_le_bytes(*stored) != check.finalize() {
        return Err(damaged("fails its check"));
    }
    let record = EventRecord::decode(record).map_err(|error| damaged(&error.to_string()))?;
    from_event_record(record).ok_or_else(|| damaged("has a change that this version does not know"))
}
