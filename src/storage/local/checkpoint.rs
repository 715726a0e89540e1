//! The checkpoint: up to where the log is known to be durable, outside of its segments. Without it
//! a log whose newest part was lost or zeroed would look like a shorter log. Never ahead of the log.
//!
//! ```text
//!   checkpoint   slot │ slot, 4 KiB each, written in turn: a torn write leaves the other
//!   slot         position │ zeros up to byte 64 │ writer
//!   position     magic (8 B) │ log id │ revision │ chain (32 B) │ CRC-32
//!   writer       length (1 B) │ version of the program, 59 B │ CRC-32
//! ```
//!
//! The writer is for people: an older program that refuses the log names it. So it stays where it is, and the
//! CRC-32 of the position, too, whatever else a later format has. A checkpoint without a writer is of a
//! program from before there was one.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::{Folder, StorageFile};
use crate::formats::{CHECKPOINT, OtherFormat, PROGRAM};
use crate::model::{Chain, LogId, Revision};
use crate::storage::error::Error;

pub(super) const NAME: &str = "checkpoint";
/// The first bytes of a position, which say its version, too.
const MAGIC: [u8; 8] = *b"WHIMCHKP";
const _: () = assert!(CHECKPOINT.version == 1, "another version has other first bytes");
/// A page of a disk: writing one slot never touches the other.
pub(super) const SLOT_BYTES: usize = 4096;
const FIELDS_BYTES: usize = 56;
const CHECK_BYTES: usize = 4;
/// Where the writer begins in a slot.
const WRITER_AT: usize = 64;
/// Bytes of the writer's version; a longer one is cut.
const WRITER_TEXT_BYTES: usize = 59;
const WRITER_BYTES: usize = 1 + WRITER_TEXT_BYTES + CHECK_BYTES;

/// A position up to which everything is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DurablePosition {
    pub(super) log: LogId,
    pub(super) revision: Revision,
    /// The chain after the event at `revision`.
    pub(super) chain: Chain,
}

/// The file, which the first write creates.
#[derive(Debug)]
pub(super) struct Checkpoint {
    folder: Arc<dyn Folder>,
    path: PathBuf,
    state: Mutex<CheckpointState>,
}

#[derive(Debug)]
struct CheckpointState {
    /// `None` until it is created.
    file: Option<Arc<dyn StorageFile>>,
    /// The last position in the file.
    written: Option<DurablePosition>,
    /// Whether each slot is empty, or written by a program of this version.
    is_own: [bool; 2],
    /// The slot that is written next.
    next_slot: usize,
}

/// What a slot has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Position(DurablePosition),
    /// Something whole of a later format.
    OtherFormat,
    /// Nothing, or nothing that is whole.
    Nothing,
}

/// What the file says to an opening.
#[derive(Debug, Default)]
pub(super) struct CheckpointContent {
    /// The last position.
    pub(super) durable: Option<DurablePosition>,
    /// The version of the program that wrote it.
    pub(super) writer: Option<String>,
}

impl Checkpoint {
    /// Opens the file, if there is one. Returns its content, too. Writes nothing: a log that is refused
    /// stays as it is.
    pub(super) fn open(folder: Arc<dyn Folder>) -> Result<(Self, CheckpointContent), Error> {
        let path = folder.path().join(NAME);
        let mut slots = vec![0; 2 * SLOT_BYTES];
        let mut open = || -> io::Result<_> {
            let file = match folder.open(NAME) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            // One that is shorter was cut off while it was created, or is damaged.
            let read = slots.len().min(file.bytes()? as usize);
            file.read_at(&mut slots[..read], 0)?;
            Ok(Some(file))
        };
        let failed = |error: io::Error| Error::Storage { file: path.clone(), source: error.into() };
        let file = open().map_err(failed)?;
        let (first, second) = slots.split_at(SLOT_BYTES);
        let writers = [writer(first), writer(second)];
        let mut found = [None; 2];
        for (slot, bytes) in [first, second].into_iter().enumerate() {
            match decode(bytes) {
                Slot::Position(position) => found[slot] = Some(position),
                Slot::OtherFormat => return Err(other_format(path, bytes)),
                Slot::Nothing => {}
            }
        }
        if slots.iter().any(|&byte| byte != 0) && found == [None, None] {
            tracing::warn!(file = %path.display(), "the checkpoint of the log is damaged");
        }
        let revision = |slot: usize| found[slot].map(|position| position.revision);
        let newest = usize::from(revision(1) > revision(0));
        let is_own = [0, 1].map(|slot: usize| {
            found[slot].is_none() || writers[slot].as_deref() == Some(written_version())
        });
        let state = CheckpointState { file, written: found[newest], is_own, next_slot: 1 - newest };
        let [first, second] = writers;
        let writer = if newest == 0 { first } else { second };
        let content = CheckpointContent { durable: found[newest], writer };
        Ok((Self { folder, path, state: Mutex::new(state) }, content))
    }

    /// The path of the file, for errors.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether `position` is the last in the file.
    pub(super) fn says(&self, position: DurablePosition) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.written == Some(position)
    }

    /// Writes `position`, which is durable, unless it is in the file. The first time after an upgrade it
    /// writes both slots, as they name the program.
    pub(super) fn write(&self, position: DurablePosition) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.written != Some(position) || state.is_own != [true; 2] {
            self.write_slot(&mut state, position).map_err(|error| Error::Storage {
                file: self.path.clone(),
                source: error.into(),
            })?;
        }
        Ok(())
    }

    /// Writes the next slot.
    fn write_slot(&self, state: &mut CheckpointState, position: DurablePosition) -> io::Result<()> {
        let slot = state.next_slot;
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => state.file.insert(create(&*self.folder)?).clone(),
        };
        file.write_at(&encode(position), (slot * SLOT_BYTES) as u64)?;
        file.sync()?;
        state.written = Some(position);
        state.is_own[slot] = true;
        state.next_slot = 1 - slot;
        Ok(())
    }
}

fn create(folder: &dyn Folder) -> io::Result<Arc<dyn StorageFile>> {
    let file = folder.create(NAME)?;
    file.write_at(&[0; 2 * SLOT_BYTES], 0)?;
    file.sync()?;
    folder.sync()?;
    Ok(file)
}

fn encode(position: DurablePosition) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(WRITER_AT + WRITER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(position.log.get().to_le_bytes());
    bytes.extend(position.revision.get().to_le_bytes());
    bytes.extend(position.chain.get());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.resize(WRITER_AT, 0);
    let version = written_version();
    bytes.push(version.len() as u8);
    bytes.extend(version.as_bytes());
    bytes.resize(WRITER_AT + 1 + WRITER_TEXT_BYTES, 0);
    bytes.extend(crc32fast::hash(&bytes[WRITER_AT..]).to_le_bytes());
    bytes
}

/// The version of this program, as far as there is room for it.
fn written_version() -> &'static str {
    // A version has ASCII only, so it may be cut anywhere.
    PROGRAM.get(..WRITER_TEXT_BYTES).unwrap_or(PROGRAM)
}

/// What a slot has.
pub(super) fn decode(slot: &[u8]) -> Slot {
    let Some((fields, rest)) = slot.split_at_checked(FIELDS_BYTES) else { return Slot::Nothing };
    if rest.first_chunk() != Some(&crc32fast::hash(fields).to_le_bytes()) {
        return Slot::Nothing;
    }
    position(fields).map_or(Slot::OtherFormat, Slot::Position)
}

/// The position in the fields of a slot; `None` if they are of another format.
fn position(fields: &[u8]) -> Option<DurablePosition> {
    let (magic, fields) = fields.split_first_chunk()?;
    let (log, fields) = fields.split_first_chunk()?;
    let (revision, fields) = fields.split_first_chunk()?;
    (*magic == MAGIC).then_some(DurablePosition {
        log: LogId::new(u64::from_le_bytes(*log)),
        revision: Revision::new(u64::from_le_bytes(*revision)),
        chain: Chain::new(*fields.first_chunk()?),
    })
}

/// The version of the program that wrote a slot; `None` if it does not say it.
pub(super) fn writer(slot: &[u8]) -> Option<String> {
    let (text, rest) = slot.get(WRITER_AT..)?.split_at_checked(1 + WRITER_TEXT_BYTES)?;
    if rest.first_chunk() != Some(&crc32fast::hash(text).to_le_bytes()) {
        return None;
    }
    let (&length, text) = text.split_first()?;
    let version = std::str::from_utf8(text.get(..length.into())?).ok()?;
    // It is shown to people.
    let is_shown = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_graphic());
    is_shown.then(|| version.to_owned())
}

/// The error of a checkpoint whose `slot` is of a later format.
pub(super) fn other_format(file: PathBuf, slot: &[u8]) -> Error {
    let other = OtherFormat { format: &CHECKPOINT, found: None, writer: writer(slot) };
    Error::OtherFormat { file, other }
}
