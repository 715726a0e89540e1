//! The recorded operations of a folder, and the part of them that a power cut leaves. Never changes
//! the recording.
//!
//! A sync of a file makes the earlier writes and lengths of the file durable, a sync of the folder
//! the earlier changes of names. The fate of all other operations is random. The model is stricter
//! than any one file system: it allows the losses of all of them.
//!
//! **Content.** Each cut draws how likely a sector is kept: never, in half of the cases, mostly,
//! always. Half of the unsynced writes are torn: each of their sectors is kept or lost alone. The
//! others are kept or lost whole. Kept sectors are applied in the order of the writes. So a later
//! write may be there without an earlier one, even in the same sector.
//!
//! **Length.** Each cut draws for each file one of the three orders of [`Length`]. Bytes beyond the
//! durable end that no kept sector wrote are zeros, never garbage.
//!
//! **Names.** Half of the cuts keep a random prefix of the unsynced changes, as a journal does. The
//! others keep or lose each change alone, as blocks without a journal do. A rename is then two
//! changes: one sets the new name, the other clears the old name. So both names may be found, or
//! neither. But a rename over a durable name is atomic: the name has the old file or the new one.
//! Two rules keep the result possible:
//! - A rename sets a name only if its file is durable: another name of it is, or it was synced.
//! - A name is cleared only if it has the file of the recorded operation.
//!
//! **Failed syncs.** The unsynced writes before a failed sync of their file never become durable: a
//! later sync makes only the length durable, which a journal holds. A failed sync of the folder
//! changes nothing: a later one can succeed.

use std::ops::Range;
use std::sync::Arc;

use super::{Content, Names, State};

/// A disk writes a sector completely, and nothing larger.
const SECTOR_BYTES: usize = 512;

/// A recorded operation, or a note of the test between two operations.
pub(super) enum Op {
    Write {
        offset: usize,
        data: Data,
    },
    SetBytes(usize),
    Sync {
        bytes: usize,
    },
    FailedSync,
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
        file: usize,
    },
    Remove {
        name: String,
        file: usize,
    },
    FolderSync,
    /// A test replaced the content of a file or made one: durable at once, with all names.
    Put {
        name: String,
        file: usize,
        content: Content,
    },
    Acknowledged {
        events: u64,
    },
    Erased {
        until: u64,
    },
}

/// The bytes of a write. Zeros are not stored, because a new segment is MiBs of them.
pub(super) enum Data {
    Bytes(Box<[u8]>),
    Zeros(usize),
}

/// The order in which a power cut finds the lengths and the sectors of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// Lengths are durable at once. Lost sectors beyond the old end are zeros.
    First,
    /// Lengths wait for the sync. Sectors beyond the old end are lost.
    Last,
    /// A kept sector extends the file. Each explicit length is kept or lost alone.
    Mixed,
}

/// The power cut.
impl State {
    pub(super) fn names_after_cut(&self, ops: usize, random: &mut fastrand::Rng) -> Names {
        let of_names = &self.name_ops[..self.name_ops.partition_point(|op| *op < ops)];
        let synced = of_names.iter().rposition(|op| self.ops[*op].makes_names_durable());
        let (durable, unsynced) = of_names.split_at(synced.map_or(0, |sync| sync + 1));
        let is_journal = random.bool();
        let prefix = if is_journal { random.usize(..=unsynced.len()) } else { 0 };

        let mut names = self.first_names.clone();
        for op in durable.iter().chain(&unsynced[..prefix]) {
            for change in self.ops[*op].name_changes().into_iter().flatten() {
                change.apply(&mut names);
            }
        }
        if is_journal {
            return names;
        }
        let keep = [0.1, 0.5, 0.9][random.usize(..3)];
        for op in unsynced.iter().map(|op| &self.ops[*op]) {
            for change in op.name_changes().into_iter().flatten() {
                let is_durable = |file: usize| {
                    matches!(op, Op::Create { .. })
                        || names.values().any(|named| *named == file)
                        || self.was_synced(file, ops)
                };
                if random.f64() < keep && (!change.is_set || is_durable(change.file)) {
                    change.apply(&mut names);
                }
            }
        }
        names
    }

    /// Whether a sync of the file succeeded within the first `ops` operations.
    fn was_synced(&self, file: usize, ops: usize) -> bool {
        let of_file = self.files[file].ops.iter().take_while(|op| **op < ops);
        of_file.copied().any(|op| self.ops[op].bytes_durable().is_some())
    }

    /// The content of a file after a power cut. `keep` is how likely a sector is kept.
    pub(super) fn content_after_cut(
        &self,
        number: usize,
        ops: usize,
        keep: f64,
        random: &mut fastrand::Rng,
    ) -> Content {
        let file = &self.files[number];
        let of_file = &file.ops[..file.ops.partition_point(|op| *op < ops)];
        let length = [Length::First, Length::Last, Length::Mixed][random.usize(..3)];
        let Some(last) = of_file.last() else { return Arc::clone(&file.first) };
        // Most files are complete and durable: they need no replay.
        let is_synced = self.ops[*last].bytes_durable().is_some() && !file.had_failed_sync;
        if is_synced && of_file.len() == file.ops.len() {
            return Arc::clone(&file.content);
        }
        let mut content = file.first.to_vec();
        let is_end = |op: &usize| {
            self.ops[*op].bytes_durable().is_some() || matches!(self.ops[*op], Op::FailedSync)
        };
        for batch in of_file.split_inclusive(is_end) {
            let synced = self.ops[batch[batch.len() - 1]].bytes_durable();
            for op in batch.iter().map(|op| &self.ops[*op]) {
                match synced {
                    Some(_) => apply(&mut content, op),
                    None => apply_unsynced(&mut content, op, length, keep, random),
                }
            }
            if let Some(bytes) = synced {
                resize(&mut content, bytes);
            }
        }
        Arc::new(content)
    }
}

/// A change of one name.
struct NameChange<'a> {
    name: &'a str,
    file: usize,
    /// Whether the name becomes one of the file. If not, it no longer is.
    is_set: bool,
}

impl NameChange<'_> {
    fn apply(&self, names: &mut Names) {
        if self.is_set {
            names.insert(self.name.to_owned(), self.file);
        } else if names.get(self.name) == Some(&self.file) {
            names.remove(self.name);
        }
    }
}

impl Op {
    fn name_changes(&self) -> [Option<NameChange<'_>>; 2] {
        let change = |name, file: &usize, is_set| Some(NameChange { name, file: *file, is_set });
        match self {
            Self::Create { name, file } | Self::Put { name, file, .. } => {
                [change(name, file, true), None]
            }
            Self::Rename { from, to, file } => [change(to, file, true), change(from, file, false)],
            Self::Remove { name, file } => [change(name, file, false), None],
            _ => [None, None],
        }
    }

    fn makes_names_durable(&self) -> bool {
        matches!(self, Self::FolderSync | Self::Put { .. })
    }

    /// The length of the file if the operation makes its content durable.
    fn bytes_durable(&self) -> Option<usize> {
        match self {
            Self::Sync { bytes } => Some(*bytes),
            Self::Put { content, .. } => Some(content.len()),
            _ => None,
        }
    }
}

impl Data {
    pub(super) fn new(bytes: &[u8]) -> Self {
        // A comparison of slices is fast in builds without optimisation, a loop is not.
        let is_zeros = bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1];
        if is_zeros { Self::Zeros(bytes.len()) } else { Self::Bytes(bytes.into()) }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Zeros(bytes) => *bytes,
        }
    }

    /// Writes the bytes within `part` of the file; the first byte of all belongs at `offset`.
    pub(super) fn apply(&self, content: &mut Vec<u8>, offset: usize, part: Range<usize>) {
        if content.len() < part.end {
            resize(content, part.end);
        }
        match self {
            Self::Bytes(bytes) => content[part.clone()]
                .copy_from_slice(&bytes[part.start - offset..part.end - offset]),
            Self::Zeros(_) => content[part].fill(0),
        }
    }
}

fn apply(content: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, data } => data.apply(content, *offset, *offset..offset + data.len()),
        Op::SetBytes(bytes) => resize(content, *bytes),
        Op::Put { content: put, .. } => content.clone_from(put),
        _ => {}
    }
}

/// Keeps or loses an unsynced operation, or some sectors of it.
fn apply_unsynced(
    content: &mut Vec<u8>,
    op: &Op,
    length: Length,
    keep: f64,
    random: &mut fastrand::Rng,
) {
    match op {
        Op::SetBytes(bytes) => {
            let is_kept = match length {
                Length::First => true,
                Length::Last => false,
                Length::Mixed => random.f64() < keep,
            };
            if is_kept {
                resize(content, *bytes);
            }
        }
        Op::Write { offset, data } => {
            let written_end = offset + data.len();
            if length == Length::First && content.len() < written_end {
                resize(content, written_end);
            }
            let end = if length == Length::Last { content.len() } else { written_end };
            let written = *offset..written_end.min(end);
            let parts = if random.bool() { sectors(written) } else { vec![written] };
            for part in parts {
                if random.f64() < keep && !part.is_empty() {
                    data.apply(content, *offset, part);
                }
            }
        }
        _ => {}
    }
}

/// The parts of `written` in each sector of the file. None if it is empty.
fn sectors(written: Range<usize>) -> Vec<Range<usize>> {
    let mut sectors = Vec::new();
    let mut start = written.start;
    while start < written.end {
        let end = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
        sectors.push(start..end.min(written.end));
        start = end;
    }
    sectors
}

/// Cuts the content, or extends it by zeros.
pub(super) fn resize(content: &mut Vec<u8>, bytes: usize) {
    match bytes.checked_sub(content.len()) {
        // `Vec::resize` is slow in builds without optimisation.
        Some(more) => content.extend_from_slice(&vec![0; more]),
        None => content.truncate(bytes),
    }
}
