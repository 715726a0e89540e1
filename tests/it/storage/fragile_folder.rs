//! A folder in memory that records every operation. A test can cut the power after any of them,
//! make operations fail, and damage files. Never uses a disk, and never knows what a file means.
//!
//! [`power_cut`] describes the losses of a power cut.
//!
//! Operations fail without an effect, with two exceptions. A short write writes its first half. A
//! failed sync of a file leaves its earlier unsynced writes in doubt for ever: as on Linux, a later
//! sync succeeds and does not make them durable.
//!
//! A process that is killed leaves all as it is: what it wrote is read by the next one, and still not
//! durable.

mod faults;
mod power_cut;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use whimbrel::storage::{Folder, StorageFile};

use super::machine::Machine;
pub(crate) use faults::OpKind;
use faults::{Effect, Faults};
use power_cut::{Data, Op, resize};

/// The folder with all its files. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct FragileFolder {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The names when the recording began, all durable.
    first_names: Names,
    names: Names,
    /// All files, removed ones too, each at its number.
    files: Vec<File>,
    ops: Vec<Op>,
    /// The moment of each operation.
    moments: Vec<usize>,
    machine: Machine,
    /// The indices of the operations on names, and of the folder's syncs.
    name_ops: Vec<usize>,
    faults: Faults,
    bytes_free: Option<u64>,
}

/// The number of the file of each name.
type Names = BTreeMap<String, usize>;

type Content = Arc<Vec<u8>>;

struct File {
    /// No other file has it, of any folder.
    id: u64,
    /// The content when the recording began, durable.
    first: Content,
    content: Content,
    /// The indices of its operations. Those on names are in [`State::name_ops`].
    ops: Vec<usize>,
    had_failed_sync: bool,
}

#[derive(Debug)]
struct FragileFile {
    folder: FragileFolder,
    file: usize,
    id: u64,
}

impl FragileFolder {
    /// A folder with the present content: durable, with an empty recording, without faults.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        Self::of(&state.names, |file| Arc::clone(&state.files[file].content))
    }

    /// The folder after a power cut that follows the first `ops` operations: durable, with an empty
    /// recording, without faults. `random` decides the fate of all that was not synced.
    pub(crate) fn cut(&self, ops: usize, random: &mut fastrand::Rng) -> Self {
        let state = self.state();
        let names = state.names_after_cut(ops, random);
        let keep = [0.0, 0.5, 0.9, 1.0][random.usize(..4)];
        Self::of(&names, |file| state.content_after_cut(file, ops, keep, random))
    }

    /// As [`FragileFolder::cut`], after so many operations of all disks of the machine.
    pub(crate) fn cut_at(&self, moment: usize, random: &mut fastrand::Rng) -> Self {
        let ops = self.state().moments.partition_point(|&at| at < moment);
        self.cut(ops, random)
    }

    /// The machine that the folder is in. A copy and a folder after a cut are in a new one.
    pub(crate) fn machine(&self) -> Machine {
        self.state().machine.clone()
    }

    /// The number of operations and notes.
    pub(crate) fn ops(&self) -> usize {
        self.state().ops.len()
    }

    /// Notes that the first `events` events of the log were acknowledged.
    pub(crate) fn acknowledged(&self, events: u64) {
        self.state().push(Op::Acknowledged { events });
    }

    /// Notes that the erasure of posts up to `until` was acknowledged.
    pub(crate) fn erased(&self, until: u64) {
        self.state().push(Op::Erased { until });
    }

    /// The number of events that were acknowledged within the first `ops` operations.
    pub(crate) fn acknowledged_by(&self, ops: usize) -> u64 {
        self.last_note(ops, |op| match op {
            Op::Acknowledged { events } => Some(*events),
            _ => None,
        })
    }

    /// The revision up to which erasures were acknowledged within the first `ops` operations.
    pub(crate) fn erased_by(&self, ops: usize) -> u64 {
        self.last_note(ops, |op| match op {
            Op::Erased { until } => Some(*until),
            _ => None,
        })
    }

    /// Lets `after` operations of a kind succeed, and fails all later ones. Faults add up.
    pub(crate) fn fail_from(&self, kind: OpKind, after: usize, error: io::ErrorKind) {
        self.state().faults.add(kind, after, error, false);
    }

    /// Lets `after` operations of a kind succeed, and fails the next one.
    pub(crate) fn fail_once(&self, kind: OpKind, after: usize, error: io::ErrorKind) {
        self.state().faults.add(kind, after, error, true);
    }

    /// Lets `after` operations that change something succeed, and kills the process: all later
    /// operations fail without an effect. A write that is interrupted may have written its first half.
    pub(crate) fn kill_after(&self, after: usize, is_within_write: bool) {
        self.state().faults.kill(after, is_within_write);
    }

    /// From now on every operation succeeds.
    pub(crate) fn heal(&self) {
        self.state().faults.heal();
    }

    /// The number of operations that failed.
    pub(crate) fn failures(&self) -> usize {
        self.state().faults.failures()
    }

    /// Sets the free space: no limit by default, and none in a copy or after a cut.
    pub(crate) fn set_bytes_free(&self, bytes: Option<u64>) {
        self.state().bytes_free = bytes;
    }

    /// All names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The present content of a file.
    pub(crate) fn bytes_of(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].content.to_vec()
    }

    /// Replaces the content of a file, or makes one. That is durable at once, and so are all names.
    /// Open handles read the new content: a test can damage a file in use.
    pub(crate) fn put(&self, name: &str, content: impl Into<Vec<u8>>) {
        let content = Arc::new(content.into());
        let mut state = self.state();
        let file = state.names.get(name).copied().unwrap_or_else(|| state.new_file(name));
        state.files[file].content = Arc::clone(&content);
        let op = state.ops.len();
        state.files[file].ops.push(op);
        state.record_of_names(Op::Put { name: name.to_owned(), file, content });
    }

    /// A folder with these names, each with the content of the file of that number.
    fn of(names: &Names, mut content_of: impl FnMut(usize) -> Content) -> Self {
        let mut state = State::default();
        let mut numbers = BTreeMap::new();
        for (name, old_number) in names {
            let number = *numbers.entry(*old_number).or_insert_with(|| {
                state.files.push(File::new(content_of(*old_number)));
                state.files.len() - 1
            });
            state.names.insert(name.clone(), number);
        }
        state.first_names = state.names.clone();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn last_note(&self, ops: usize, note: impl Fn(&Op) -> Option<u64>) -> u64 {
        self.state().ops[..ops].iter().rev().find_map(note).unwrap_or(0)
    }

    fn handle(&self, state: &State, file: usize) -> Arc<dyn StorageFile> {
        Arc::new(FragileFile { folder: self.clone(), file, id: state.files[file].id })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl File {
    fn new(content: Content) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let first = Arc::clone(&content);
        Self { id, first, content, ops: Vec::new(), had_failed_sync: false }
    }
}

/// The operations on the present content.
impl State {
    /// Counts an operation, which has no effect if it fails.
    fn may_fail(&mut self, kind: OpKind) -> io::Result<()> {
        self.faults.check(kind).map_err(|(_, error)| error)
    }

    fn push(&mut self, op: Op) {
        self.ops.push(op);
        self.moments.push(self.machine.next_moment());
    }

    fn record(&mut self, file: usize, op: Op) {
        self.files[file].ops.push(self.ops.len());
        self.push(op);
    }

    fn record_of_names(&mut self, op: Op) {
        self.name_ops.push(self.ops.len());
        self.push(op);
    }

    fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        // POSIX: an empty write beyond the end does not extend the file.
        if bytes.is_empty() {
            return;
        }
        let data = Data::new(bytes);
        data.apply(
            Arc::make_mut(&mut self.files[file].content),
            offset,
            offset..offset + data.len(),
        );
        self.record(file, Op::Write { offset, data });
    }

    fn set_bytes(&mut self, file: usize, bytes: usize) {
        resize(Arc::make_mut(&mut self.files[file].content), bytes);
        self.record(file, Op::SetBytes(bytes));
    }

    fn sync(&mut self, file: usize) {
        let bytes = self.files[file].content.len();
        self.record(file, Op::Sync { bytes });
    }

    fn create(&mut self, name: &str) -> usize {
        let file = self.new_file(name);
        self.record_of_names(Op::Create { name: name.to_owned(), file });
        file
    }

    fn new_file(&mut self, name: &str) -> usize {
        self.files.push(File::new(Content::default()));
        self.names.insert(name.to_owned(), self.files.len() - 1);
        self.files.len() - 1
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        // POSIX: nothing happens if both are names of one file, as a power cut can leave them.
        if self.names.get(to) != Some(&file) {
            self.names.remove(from);
            self.names.insert(to.to_owned(), file);
            self.record_of_names(Op::Rename { from: from.to_owned(), to: to.to_owned(), file });
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<usize> {
        let file = self.file(name)?;
        self.names.remove(name);
        Ok(file)
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for FragileFolder {
    fn path(&self) -> &Path {
        Path::new("fragile")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.may_fail(OpKind::List)?;
        let mut names: Vec<_> = state.names.keys().cloned().collect();
        // File systems list names in any order.
        fastrand::Rng::with_seed(names.len() as u64).shuffle(&mut names);
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        state.may_fail(OpKind::Open)?;
        Ok(self.handle(&state, state.file(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        state.may_fail(OpKind::Create)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.create(name);
        Ok(self.handle(&state, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail(OpKind::Rename)?;
        state.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail(OpKind::Remove)?;
        let file = state.remove(name)?;
        state.record_of_names(Op::Remove { name: name.to_owned(), file });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.may_fail(OpKind::FolderSync)?;
        state.record_of_names(Op::FolderSync);
        Ok(())
    }

    fn is_name_of(&self, name: &str, file: &dyn StorageFile) -> io::Result<bool> {
        let state = self.state();
        Ok(state.names.get(name).is_some_and(|named| (0, state.files[*named].id) == file.id()))
    }

    fn bytes_free(&self) -> io::Result<Option<u64>> {
        Ok(self.state().bytes_free)
    }
}

impl StorageFile for FragileFile {
    fn id(&self) -> (u64, u64) {
        (0, self.id)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.folder.state().files[self.file].content.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.folder.state();
        state.may_fail(OpKind::Read)?;
        let start = index(offset)?;
        let end = start.checked_add(bytes.len());
        let part = end.and_then(|end| state.files[self.file].content.get(start..end));
        bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.folder.state();
        let offset = index(offset)?;
        let checked = state.faults.check(OpKind::Write);
        let written = match &checked {
            Ok(()) => bytes,
            Err((Effect::Half, _)) => &bytes[..bytes.len() / 2],
            Err(_) => &[],
        };
        state.write(self.file, offset, written);
        checked.map_err(|(_, error)| error)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.folder.state();
        state.may_fail(OpKind::SetBytes)?;
        state.set_bytes(self.file, index(bytes)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.folder.state();
        let checked = state.faults.check(OpKind::Sync);
        match &checked {
            Ok(()) => state.sync(self.file),
            Err((Effect::Doubt, _)) => {
                state.files[self.file].had_failed_sync = true;
                state.record(self.file, Op::FailedSync);
            }
            Err(_) => {}
        }
        checked.map_err(|(_, error)| error)
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// Without the content, which can be long.
impl fmt::Debug for FragileFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FragileFolder({} operations)", self.ops())
    }
}
