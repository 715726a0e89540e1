//! Records: an event as the local log keeps it, in two parts. Erasing a post replaces the second
//! part and never touches the first.
//!
//! ```text
//!   ┌───────┬───────┬────────────┬──────┬──────────────────────┬───────────────────────────────┐
//!   │ check │ bytes │ kept bytes │ form │ kept part            │ whole:  key (16 B) │ content  │
//!   │ 4 B   │ 4 B   │ 4 B        │ 1 B  │ EventRecord          │ erased: commitment (32 B)     │
//!   └───────┴───────┴────────────┴──────┴──────────────────────┴───────────────────────────────┘
//!     numbers are little-endian; `bytes` counts what follows `form`
//!     check       CRC-32 over the salt of the segment, the revision, and all after the check
//!     commitment  SHA-256 over key and content
//!     chain       SHA-256 over the chain before, the kept bytes, the kept part, and the commitment
//! ```
//!
//! The key is random, and goes with the content: who has only the commitment cannot test a guess at
//! what the content was. So the chain is the same before and after the post is erased, and says
//! nothing about it.

use sha2::{Digest, Sha256};

use super::codec::{self, EncodedEvent};
use crate::model::{Chain, Event, LogId, Revision};

/// Bytes of the check.
pub(in crate::storage) const CHECK_BYTES: usize = 4;
/// Bytes before the kept part.
pub(in crate::storage) const HEAD_BYTES: usize = 13;
/// Bytes of the random key of a content.
pub(in crate::storage) const KEY_BYTES: usize = 16;
const COMMITMENT_BYTES: usize = Chain::BYTES;

/// What follows the kept part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing: the event publishes no post.
    Plain = 0,
    /// A key and the content of a post.
    Whole = 1,
    /// The commitment to the content of an erased post.
    Erased = 2,
}

/// A record whose check is right.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Record<'a> {
    form: Form,
    kept: &'a [u8],
    /// What follows the kept part.
    rest: &'a [u8],
}

/// Where a record is: it is valid nowhere else.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct RecordPosition {
    /// The salt of the segment.
    pub(in crate::storage) salt: u64,
    /// The revision.
    pub(in crate::storage) revision: Revision,
}

/// The chain of a log before its first event.
pub(in crate::storage) fn chain_start(log: LogId) -> Chain {
    let hash = Sha256::new().chain_update(b"whimbrel log").chain_update(log.get().to_be_bytes());
    Chain::new(hash.finalize().into())
}

/// Adds the record of `event` to `bytes`, without its check, which [`set_check`] sets once the
/// position is known. `key` is random and never used again. Returns the chain after the event.
pub(in crate::storage) fn append(
    event: &Event,
    key: [u8; KEY_BYTES],
    chain: Chain,
    bytes: &mut Vec<u8>,
) -> Chain {
    let EncodedEvent { kept, content } = codec::encode(event);
    let parts = match &content {
        None => [&kept[..], &[], &[]],
        Some(content) => [&kept[..], &key, content],
    };
    let form = if content.is_some() { Form::Whole } else { Form::Plain };
    append_parts(form, parts, bytes);
    let commitment = content.map(|content| commitment(&key, &content));
    next_chain(chain, &kept, commitment.as_ref().map_or(&[], |it| &it[..]))
}

fn append_parts(form: Form, [kept, key, rest]: [&[u8]; 3], bytes: &mut Vec<u8>) {
    let length = |bytes: usize| {
        let bytes = u32::try_from(bytes);
        bytes.unwrap_or_else(|_| unreachable!("the bounds of posts keep records below 4 GiB"))
    };
    bytes.extend([0; 4]);
    bytes.extend(length(kept.len() + key.len() + rest.len()).to_le_bytes());
    bytes.extend(length(kept.len()).to_le_bytes());
    bytes.push(form as u8);
    [kept, key, rest].iter().for_each(|part| bytes.extend_from_slice(part));
}

/// Sets the check of `record`, which is complete, for its position.
pub(in crate::storage) fn set_check(record: &mut [u8], position: RecordPosition) {
    let (check, rest) =
        record.split_first_chunk_mut().unwrap_or_else(|| unreachable!("a record has a check"));
    *check = position.check(rest).to_le_bytes();
}

fn commitment(key: &[u8], content: &[u8]) -> [u8; COMMITMENT_BYTES] {
    Sha256::new().chain_update(key).chain_update(content).finalize().into()
}

fn next_chain(before: Chain, kept: &[u8], commitment: &[u8]) -> Chain {
    let hash = Sha256::new()
        .chain_update(before.get())
        .chain_update((kept.len() as u64).to_le_bytes())
        .chain_update(kept)
        .chain_update(commitment);
    Chain::new(hash.finalize().into())
}

impl RecordPosition {
    fn check(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.revision.get().to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }

    fn damaged(self, what: &str) -> String {
        format!("the record of revision {} {what}", self.revision)
    }
}

impl<'a> Record<'a> {
    /// Splits the record at `position` from the start of `bytes`. Returns what follows it, too.
    ///
    /// # Errors
    /// A description of the damage.
    pub(in crate::storage) fn split_first(
        position: RecordPosition,
        bytes: &'a [u8],
    ) -> Result<(Self, &'a [u8]), String> {
        let cut = || position.damaged("ends too early");
        let end = HEAD_BYTES + bytes_of(bytes).ok_or_else(cut)?;
        let (record, rest) = bytes.split_at_checked(end).ok_or_else(cut)?;
        let (check, checked) = record.split_first_chunk().ok_or_else(cut)?;
        if u32::from_le_bytes(*check) != position.check(checked) {
            return Err(position.damaged("fails its check"));
        }
        let record = Self::unchecked(checked).map_err(|what| position.damaged(&what))?;
        Ok((record, rest))
    }

    /// The record of `bytes`, which are all of it after its check.
    ///
    /// # Errors
    /// A description of the damage.
    pub(in crate::storage) fn unchecked(bytes: &'a [u8]) -> Result<Self, String> {
        let cut = || "ends too early".to_owned();
        let (head, body) = bytes.split_first_chunk::<{ HEAD_BYTES - 4 }>().ok_or_else(cut)?;
        let kept_bytes = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (kept, rest) = body.split_at_checked(kept_bytes).ok_or_else(cut)?;
        let form = match (head[8], rest.len()) {
            (0, 0) => Form::Plain,
            (1, KEY_BYTES..) => Form::Whole,
            (2, COMMITMENT_BYTES) => Form::Erased,
            _ => return Err("has a form that this version does not know".to_owned()),
        };
        Ok(Self { form, kept, rest })
    }

    /// The event.
    ///
    /// # Errors
    /// A description of the damage.
    pub(in crate::storage) fn event(&self, position: RecordPosition) -> Result<Event, String> {
        self.decode().map_err(|what| position.damaged(&what))
    }

    /// The event of a record whose place is not known here.
    ///
    /// # Errors
    /// A description of the damage.
    pub(in crate::storage) fn decode(&self) -> Result<Event, String> {
        let content = match self.form {
            Form::Plain => None,
            Form::Whole => Some(&self.rest[KEY_BYTES..]),
            Form::Erased => Some(&[][..]),
        };
        let is_erased = self.form == Form::Erased;
        codec::decode(self.kept, content, is_erased)
    }

    /// Whether it is the record of a post whose content is there.
    pub(in crate::storage) fn has_content(&self) -> bool {
        self.form == Form::Whole
    }

    /// The chain after the event.
    pub(in crate::storage) fn chain(&self, before: Chain) -> Chain {
        match self.form {
            Form::Plain | Form::Erased => next_chain(before, self.kept, self.rest),
            Form::Whole => {
                let (key, content) = self.rest.split_at(KEY_BYTES);
                next_chain(before, self.kept, &commitment(key, content))
            }
        }
    }

    /// The record after its check, with the commitment in place of the content.
    pub(in crate::storage) fn without_content(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.copy(true, &mut bytes);
        bytes.split_off(CHECK_BYTES)
    }

    /// Adds a copy of the record to `bytes`, without its check; if it `is_erased`, with the
    /// commitment in place of the content.
    pub(in crate::storage) fn copy(&self, is_erased: bool, bytes: &mut Vec<u8>) {
        if is_erased && self.has_content() {
            let (key, content) = self.rest.split_at(KEY_BYTES);
            let commitment = commitment(key, content);
            append_parts(Form::Erased, [self.kept, &commitment, &[]], bytes);
        } else {
            append_parts(self.form, [self.kept, self.rest, &[]], bytes);
        }
    }
}

/// Bytes of the record at the start of `bytes` after its head. `None` if its head is cut.
fn bytes_of(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(4..8)?;
    Some(u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize)
}
