//! Events as bytes.
//!
//! ```text
//!   ┌──────────────┬───────────────────────────────┐
//!   │ CRC-32 (4 B) │ Record, in Protobuf's encoding │
//!   └──────────────┴───────────────────────────────┘
//! ```
//!
//! The check covers the revision too, so that a record that is whole but in the wrong place is
//! seen. Fields are only ever added; a field's number keeps its meaning for ever.

use prost::Message;

use crate::model::{Change, Event, PostText, RequestId, Revision, Timestamp, UserId};

const CHECK_BYTES: usize = 4;

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(fixed64, tag = "1")]
    time_nanos: u64,
    #[prost(oneof = "RecordChange", tags = "2, 3, 4")]
    change: Option<RecordChange>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum RecordChange {
    #[prost(message, tag = "2")]
    Follow(Edge),
    #[prost(message, tag = "3")]
    Unfollow(Edge),
    #[prost(message, tag = "4")]
    Publish(Publish),
}

#[derive(Clone, PartialEq, Message)]
struct Edge {
    #[prost(string, tag = "1")]
    follower: String,
    #[prost(string, tag = "2")]
    followee: String,
}

#[derive(Clone, PartialEq, Message)]
struct Publish {
    #[prost(string, tag = "1")]
    author: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    request_id: String,
}

/// Writes `event` as the record of `revision` to `bytes`, which it clears first.
pub(super) fn encode(revision: Revision, event: &Event, bytes: &mut Vec<u8>) {
    let record = Record { time_nanos: event.time.as_nanos(), change: Some(to_record(event)) };
    bytes.clear();
    bytes.resize(CHECK_BYTES, 0);
    // Writing to a Vec cannot run out of room.
    let _ = record.encode(bytes);
    let check = check(revision, &bytes[CHECK_BYTES..]).to_le_bytes();
    bytes[..CHECK_BYTES].copy_from_slice(&check);
}

/// Reads the record of `revision`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(revision: Revision, bytes: &[u8]) -> Result<Event, String> {
    let damaged = |what: &str| format!("the record of revision {revision} {what}");
    let (stored_check, record) =
        bytes.split_first_chunk::<CHECK_BYTES>().ok_or_else(|| damaged("is too short"))?;
    if u32::from_le_bytes(*stored_check) != check(revision, record) {
        return Err(damaged("fails its check"));
    }
    let record = Record::decode(record).map_err(|error| damaged(&error.to_string()))?;
    let change = record
        .change
        .and_then(from_record)
        .ok_or_else(|| damaged("has a change that this version does not know"))?;
    Ok(Event { time: Timestamp::from_nanos(record.time_nanos), change })
}

/// Tells `event` at `revision` from others that could stand there.
pub(super) fn check_of(revision: Revision, event: &Event) -> u64 {
    let mut bytes = Vec::new();
    encode(revision, event, &mut bytes);
    u64::from(crc32fast::hash(&bytes)) << 32 | event.time.as_nanos() & u64::from(u32::MAX)
}

fn check(revision: Revision, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&revision.get().to_le_bytes());
    hasher.update(record);
    hasher.finalize()
}

fn to_record(event: &Event) -> RecordChange {
    let edge = |follower: &UserId, followee: &UserId| Edge {
        follower: follower.to_string(),
        followee: followee.to_string(),
    };
    match &event.change {
        Change::Follow { follower, followee } => RecordChange::Follow(edge(follower, followee)),
        Change::Unfollow { follower, followee } => RecordChange::Unfollow(edge(follower, followee)),
        Change::Publish { author, text, request_id } => RecordChange::Publish(Publish {
            author: author.to_string(),
            text: text.as_str().to_owned(),
            request_id: request_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
        }),
    }
}

fn from_record(change: RecordChange) -> Option<Change> {
    let edge = |edge: Edge| {
        Some((UserId::parse(&edge.follower).ok()?, UserId::parse(&edge.followee).ok()?))
    };
    Some(match change {
        RecordChange::Follow(follow) => {
            let (follower, followee) = edge(follow)?;
            Change::Follow { follower, followee }
        }
        RecordChange::Unfollow(unfollow) => {
            let (follower, followee) = edge(unfollow)?;
            Change::Unfollow { follower, followee }
        }
        RecordChange::Publish(publish) => Change::Publish {
            author: UserId::parse(&publish.author).ok()?,
            text: PostText::stored(&publish.text),
            request_id: match publish.request_id.as_str() {
                "" => None,
                id => Some(RequestId::parse(id).ok()?),
            },
        },
    })
}
