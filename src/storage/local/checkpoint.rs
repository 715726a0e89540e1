//! The checkpoint: up to where the log is known to be durable, outside of its segments. Without it
//! a log whose newest part was lost or zeroed would look like a shorter log. Never ahead of the log.
//!
//! ```text
//!   checkpoint   slot │ slot, 4 KiB each, written in turn: a torn write leaves the other
//!   slot         magic (8 B) │ log id │ revision │ chain (32 B) │ CRC-32
//! ```

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::{Folder, StorageFile};
use crate::model::{Chain, LogId, Revision};
use crate::storage::error::Error;

pub(super) const NAME: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"WHIMCHKP";
/// A page of a disk: writing one slot never touches the other.
pub(super) const SLOT_BYTES: usize = 4096;
const FIELDS_BYTES: usize = 56;
const CHECK_BYTES: usize = 4;

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
    /// The slot that is written next.
    next_slot: usize,
}

impl Checkpoint {
    /// Opens the file, if there is one. Returns its last position, too. Writes nothing: a log that
    /// is refused stays as it is.
    pub(super) fn open(folder: Arc<dyn Folder>) -> Result<(Self, Option<DurablePosition>), Error> {
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
        let found = [decode(first), decode(second)];
        if slots.iter().any(|&byte| byte != 0) && found == [None, None] {
            tracing::warn!(file = %path.display(), "the checkpoint of the log is damaged");
        }
        let revision = |slot: usize| found[slot].map(|position| position.revision);
        let newest = usize::from(revision(1) > revision(0));
        let state = CheckpointState { file, written: found[newest], next_slot: 1 - newest };
        Ok((Self { folder, path, state: Mutex::new(state) }, found[newest]))
    }

    /// The path of the file, for errors.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Writes `position`, which is durable, unless it is in the file.
    pub(super) fn write(&self, position: DurablePosition) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.written == Some(position) {
            return Ok(());
        }
        let offset = (state.next_slot * SLOT_BYTES) as u64;
        let mut write = || {
            let file = match &state.file {
                Some(file) => Arc::clone(file),
                None => state.file.insert(create(&*self.folder)?).clone(),
            };
            file.write_at(&encode(position), offset)?;
            file.sync()
        };
        write()
            .map_err(|error| Error::Storage { file: self.path.clone(), source: error.into() })?;
        state.written = Some(position);
        state.next_slot = 1 - state.next_slot;
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
    let mut bytes = Vec::with_capacity(FIELDS_BYTES + CHECK_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(position.log.get().to_le_bytes());
    bytes.extend(position.revision.get().to_le_bytes());
    bytes.extend(position.chain.get());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

pub(super) fn decode(slot: &[u8]) -> Option<DurablePosition> {
    let (fields, rest) = slot.split_at_checked(FIELDS_BYTES)?;
    if rest.first_chunk() != Some(&crc32fast::hash(fields).to_le_bytes()) {
        return None;
    }
    let (magic, fields) = fields.split_first_chunk()?;
    let (log, fields) = fields.split_first_chunk()?;
    let (revision, fields) = fields.split_first_chunk()?;
    (*magic == MAGIC).then_some(DurablePosition {
        log: LogId::new(u64::from_le_bytes(*log)),
        revision: Revision::new(u64::from_le_bytes(*revision)),
        chain: Chain::new(*fields.first_chunk()?),
    })
}
