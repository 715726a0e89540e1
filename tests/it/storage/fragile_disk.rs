//! The disk of an index, which records every write. A test can cut the power at any moment:
//! unflushed writes are then lost, kept or torn, as on real disks. Never holds a log: its files are
//! in a `FragileFolder`.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use whimbrel::storage::StorageFiles;

use super::machine::Machine;
use crate::harness::Disk;

/// A disk writes a sector completely, and nothing larger.
const SECTOR_BYTES: usize = 512;

/// An operation of the disk.
#[derive(Clone, Debug)]
enum Op {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLen(usize),
    Sync,
    /// The file replaced the file in use.
    Exchange,
    /// That replacement is durable.
    Exchanged,
}

/// The disk with all its files. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FragileDisk {
    /// The present content of the file.
    content: Disk,
    /// The number of the file.
    file: usize,
    state: Arc<Mutex<State>>,
    machine: Machine,
}

#[derive(Debug, Default)]
struct State {
    /// The content of the first file when the recording began.
    first: Vec<u8>,
    /// The operations, each with its file.
    ops: Vec<(usize, Op)>,
    /// The moment of each operation.
    moments: Vec<usize>,
    /// The number of files but for the first.
    copies: usize,
    syncs_until_failure: Option<usize>,
    writes_until_failure: Option<usize>,
}

impl FragileDisk {
    /// A disk with this content in its file.
    pub(crate) fn with(content: Vec<u8>) -> Self {
        let state = State { first: content.clone(), ..State::default() };
        let content = Disk::holding(content);
        Self { content, state: Arc::new(Mutex::new(state)), ..Self::default() }
    }

    /// A disk with this content in a machine with other disks: a power cut hits all of them.
    pub(crate) fn in_machine(machine: Machine, content: Vec<u8>) -> Self {
        Self { machine, ..Self::with(content) }
    }

    /// The content of the first file, which is in use unless it was replaced.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.content.bytes()
    }

    /// Lets so many flushes succeed, and no more.
    pub(crate) fn fail_after_syncs(&self, syncs: usize) {
        self.state().syncs_until_failure = Some(syncs);
    }

    /// Lets so many writes succeed, and no more.
    pub(crate) fn fail_after_writes(&self, writes: usize) {
        self.state().writes_until_failure = Some(writes);
    }

    /// From now on every operation succeeds.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.syncs_until_failure = None;
        state.writes_until_failure = None;
    }

    /// The content of the disk after a power cut that follows so many operations of all disks in the
    /// machine. `random` decides the fate of each unflushed write.
    pub(crate) fn cut_at(&self, moment: usize, random: &mut fastrand::Rng) -> Vec<u8> {
        let state = self.state();
        let ops = &state.ops[..state.moments.partition_point(|&at| at < moment)];
        let file = file_in_use(ops, random);
        let of_file: Vec<_> = ops.iter().filter(|(of, _)| *of == file).map(|(_, op)| op).collect();
        let synced = of_file.iter().rposition(|op| matches!(op, Op::Sync));
        let (flushed, rest) = of_file.split_at(synced.map_or(0, |sync| sync + 1));

        let mut content = if file == 0 { state.first.clone() } else { Vec::new() };
        for op in flushed {
            apply(&mut content, op);
        }
        // Half of the cuts lose or keep all unflushed writes, as is common.
        let keep = [0.0, 0.5, 0.9, 1.0][random.usize(..4)];
        for op in rest {
            apply_unflushed(&mut content, op, keep, random);
        }
        content
    }

    fn note(&self, state: &mut State, op: Op) {
        state.ops.push((self.file, op));
        state.moments.push(self.machine.next_moment());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The file in use after `ops` operations. A replacement that is not durable may be lost.
fn file_in_use(ops: &[(usize, Op)], random: &mut fastrand::Rng) -> usize {
    let mut in_use = 0;
    let mut on_its_way = None;
    for (file, op) in ops {
        match op {
            Op::Exchange => on_its_way = Some(*file),
            Op::Exchanged => {
                in_use = *file;
                on_its_way = None;
            }
            _ => {}
        }
    }
    on_its_way.filter(|_| random.bool()).unwrap_or(in_use)
}

fn apply(content: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, bytes } => write(content, *offset, bytes),
        Op::SetLen(len) => content.resize(*len, 0),
        _ => {}
    }
}

/// Each sector of an unflushed write reaches the disk or not.
fn apply_unflushed(content: &mut Vec<u8>, op: &Op, keep: f64, random: &mut fastrand::Rng) {
    match op {
        Op::Write { offset, bytes } if random.bool() => {
            for (sector, bytes) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if random.f64() < keep {
                    write(content, offset + sector * SECTOR_BYTES, bytes);
                }
            }
        }
        Op::Write { .. } if random.f64() >= keep => {}
        op => apply(content, op),
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn failed() -> io::Error {
    io::Error::other("the disk failed")
}

/// Counts one operation; whether it may succeed.
fn may_succeed(left: &mut Option<usize>) -> bool {
    match left {
        Some(0) => false,
        Some(left) => {
            *left -= 1;
            true
        }
        None => true,
    }
}

impl StorageFiles for FragileDisk {
    type File = Self;

    fn current(&self) -> Self {
        let was_exchanged = self.state().ops.iter().any(|(_, op)| matches!(op, Op::Exchange));
        assert!(!was_exchanged, "a cut says which file is found");
        self.clone()
    }

    fn make_copy(&self) -> io::Result<Self> {
        let mut state = self.state();
        state.copies += 1;
        Ok(Self { content: Disk::default(), file: state.copies, ..self.clone() })
    }

    fn exchange(&self) -> io::Result<()> {
        let mut state = self.state();
        let copy = Self { file: state.copies, ..self.clone() };
        copy.note(&mut state, Op::Exchange);
        copy.note(&mut state, Op::Exchanged);
        Ok(())
    }
}

impl StorageBackend for FragileDisk {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.content.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        self.note(&mut state, Op::SetLen(usize::try_from(len).unwrap()));
        self.content.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if !may_succeed(&mut state.syncs_until_failure) {
            return Err(failed());
        }
        self.note(&mut state, Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if !may_succeed(&mut state.writes_until_failure) {
            return Err(failed());
        }
        let op = Op::Write { offset: usize::try_from(offset).unwrap(), bytes: data.to_vec() };
        self.note(&mut state, op);
        self.content.write(offset, data)
    }
}
