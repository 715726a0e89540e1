//! The failures that a test asks for. Never decides what a failed operation leaves.

use std::io;

/// A kind of operation, for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// All kinds below.
    Any,
    Read,
    Write,
    /// A write that fails after the first half of its bytes.
    ShortWrite,
    SetBytes,
    /// A sync of a file.
    Sync,
    Create,
    Open,
    Rename,
    Remove,
    List,
    FolderSync,
}

#[derive(Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    kill: Option<Kill>,
    /// The number of operations that failed.
    failures: usize,
}

struct Fault {
    kind: OpKind,
    /// Operations that succeed before.
    after: usize,
    error: io::ErrorKind,
    is_once: bool,
}

/// The death of the process that uses the folder.
struct Kill {
    /// Operations that succeed before. Those that change nothing are not counted.
    after: usize,
    /// Whether a write that it interrupts has written its first half.
    is_within_write: bool,
}

/// What a failed operation leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The first half of a write.
    Half,
    /// Of a sync: earlier writes that are in doubt for ever.
    Doubt,
}

impl OpKind {
    /// Whether an operation of this kind can change something.
    fn is_change(self) -> bool {
        !matches!(self, Self::Read | Self::Open | Self::List)
    }
}

impl Faults {
    /// Adds a fault of all operations of a kind after the first `after`, or of one.
    pub(super) fn add(&mut self, kind: OpKind, after: usize, error: io::ErrorKind, is_once: bool) {
        self.faults.push(Fault { kind, after, error, is_once });
    }

    /// Ends the process after so many operations that change something.
    pub(super) fn kill(&mut self, after: usize, is_within_write: bool) {
        self.kill = Some(Kill { after, is_within_write });
    }

    /// Forgets all faults.
    pub(super) fn heal(&mut self) {
        *self = Self { failures: self.failures, ..Self::default() };
    }

    /// The number of operations that failed.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    /// Counts an operation. `Err` if it fails.
    pub(super) fn check(&mut self, kind: OpKind) -> Result<(), (Effect, io::Error)> {
        let checked = self.fate_of(kind);
        self.failures += usize::from(checked.is_err());
        checked
    }

    fn fate_of(&mut self, kind: OpKind) -> Result<(), (Effect, io::Error)> {
        if let Some(effect) = self.killed(kind) {
            return Err((effect, io::Error::other("the process was killed")));
        }
        let mut failed = None;
        self.faults.retain_mut(|fault| {
            let is_counted = fault.kind == kind
                || fault.kind == OpKind::Any
                || fault.kind == OpKind::ShortWrite && kind == OpKind::Write;
            if !is_counted {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failed.get_or_insert((fault.kind, fault.error));
            !fault.is_once
        });
        let Some((fault, error)) = failed else { return Ok(()) };
        let effect = match (fault, kind) {
            (OpKind::ShortWrite, _) => Effect::Half,
            (_, OpKind::Sync) => Effect::Doubt,
            _ => Effect::None,
        };
        Err((effect, io::Error::new(error, "the disk failed")))
    }

    /// What an operation leaves that comes too late.
    fn killed(&mut self, kind: OpKind) -> Option<Effect> {
        let kill = self.kill.as_mut()?;
        if kill.after > 0 {
            kill.after -= usize::from(kind.is_change());
            return None;
        }
        // Only the first one is interrupted.
        let is_half = kind == OpKind::Write && std::mem::take(&mut kill.is_within_write);
        kill.is_within_write &= !kind.is_change();
        Some(if is_half { Effect::Half } else { Effect::None })
    }
}
