//! What becomes of a damaged log: it is refused and stays as it is, or every read is right or an
//! error. Anything else is a panic that says which damage it was.

use std::collections::BTreeMap;

use whimbrel::model::{Chain, Event, Revision};
use whimbrel::storage::{Error, LocalLog, Log};

use super::written_log::{Files, WrittenLog, event, open_index};
use crate::harness::{Disk, MemoryFolder};

/// What became of a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It was not opened, and is as it was.
    Refused,
    /// Every read is right, and so it is after an append and another opening.
    Right,
    /// Some reads are errors, all others are right.
    Unreadable,
    /// The last batch is gone, of which the checkpoint did not know. All reads of the rest are right.
    Cut,
}

/// A damage, and what is read after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// For the panic.
    pub(super) damage: String,
    /// A post may have the content that is erased in the whole log.
    pub(super) may_have_originals: bool,
    /// Revisions at which it may end too early.
    pub(super) cuts: Vec<u64>,
    /// The revisions that are read, rising, if not all are. Nothing is appended then.
    pub(super) near: Option<Vec<u64>>,
}

/// The number of verdicts of each kind of damage.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<String, BTreeMap<Verdict, usize>>);

/// Prints the damage on a panic.
struct Printer<'a>(&'a Case);

/// Errors of damage that reads returned, and reads that were right.
#[derive(Default)]
struct Reads {
    right: usize,
    refused: usize,
}

impl Drop for Printer<'_> {
    #[expect(clippy::print_stderr, reason = "the panic does not say it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the damage: {}", self.0.damage);
        }
    }
}

impl Totals {
    pub(super) fn add(&mut self, kind: impl ToString, verdict: Verdict) {
        *self.0.entry(kind.to_string()).or_default().entry(verdict).or_default() += 1;
    }

    pub(super) fn count(&self, kind: &str, verdict: Verdict) -> usize {
        self.0.get(kind).and_then(|verdicts| verdicts.get(&verdict)).copied().unwrap_or(0)
    }

    /// The number of damages of all kinds with this verdict.
    pub(super) fn all(&self, verdict: Verdict) -> usize {
        self.0.values().filter_map(|verdicts| verdicts.get(&verdict)).sum()
    }

    /// Prints the totals, for `--nocapture`.
    #[expect(clippy::print_stdout, reason = "a run by hand shows the totals")]
    pub(super) fn print(&self, what: &str) {
        for (kind, verdicts) in &self.0 {
            println!("{what}: {kind}: {verdicts:?}");
        }
    }
}

impl Case {
    pub(super) fn new(damage: impl ToString) -> Self {
        Self { damage: damage.to_string(), ..Self::default() }
    }
}

impl WrittenLog {
    /// Opens the log with damaged files, and reads all of it. `case` describes the damage.
    pub(super) fn verdict(&self, damaged: &Files, case: &Case) -> Verdict {
        let _printer = Printer(case);
        let folder = MemoryFolder::holding(damaged.clone());
        match LocalLog::with_folder(folder.clone(), self.options) {
            Err(error) => {
                assert_names_damage(&error);
                assert_same_files(&folder.files(), damaged);
                Verdict::Refused
            }
            Ok(opened) => self.read(opened, folder, case),
        }
    }

    /// As [`WrittenLog::verdict`], and opens the index, too: it is kept, or it finds that the log
    /// ends too early.
    pub(super) fn verdict_with_index(&self, damaged: &Files, case: &Case) -> Verdict {
        let verdict = self.verdict(damaged, case);
        if verdict == Verdict::Refused {
            return verdict;
        }
        let _printer = Printer(case);
        let folder = MemoryFolder::holding(damaged.clone());
        let log = LocalLog::with_folder(folder, self.options).unwrap();
        let index = open_index(&Disk::holding(self.index.clone()), &log);
        match (verdict, index) {
            (Verdict::Cut, Err(Error::EndsEarly { .. })) => {}
            (Verdict::Unreadable, Err(error)) => assert_names_damage(&error),
            (Verdict::Right | Verdict::Unreadable, Ok(opened)) => {
                assert_eq!(opened.complete_until().get(), self.head(), "it is thrown away");
            }
            (_, index) => panic!("the index: {index:?}"),
        }
        verdict
    }

    fn read(&self, log: LocalLog, folder: MemoryFolder, case: &Case) -> Verdict {
        assert_eq!(log.id(), self.id);
        assert!(log.erased_until() <= self.erased_until, "it was not erased so far");
        let head = log.head().get();
        let is_cut = case.cuts.contains(&head);
        assert!(head == self.head() || is_cut, "it ends at {head} instead of {}", self.head());
        for (revision, epoch) in (1..=head).zip(&self.epochs) {
            assert_eq!(log.epochs().at(Revision::new(revision)), *epoch, "the epoch at {revision}");
        }
        let reads = self.read_all(&log, case);
        if reads.refused > 0 {
            return Verdict::Unreadable;
        }
        if case.near.is_none() {
            assert!(reads.right as u64 > 2 * head);
            self.append_to(log, folder, case);
        }
        if is_cut { Verdict::Cut } else { Verdict::Right }
    }

    fn read_all(&self, log: &LocalLog, case: &Case) -> Reads {
        let mut reads = Reads::default();
        let head = log.head().get();
        let near = case.near.clone().unwrap_or_else(|| (1..=head).collect());
        for revision in near.iter().copied().chain([0, head, head + 1]) {
            let at = Revision::new(revision);
            if let Some(event) = reads.take(log.get(at)) {
                let event = event.as_ref();
                let is_there = (1..=head).contains(&revision);
                assert_eq!(event.is_some(), is_there, "the event at {revision}");
                assert!(event.is_none_or(|it| self.is_right(revision, it, case)));
            }
            if let Some(chain) = reads.take(log.chain(at)) {
                let expected = (revision <= head).then(|| self.chains[revision as usize]);
                assert_eq!(chain, expected, "the chain at {revision}");
            }
        }
        let whole = [(0, usize::MAX), (head / 2, 3), (0, head.saturating_sub(1) as usize)];
        let (first, last) = (near.first().unwrap_or(&1), near.last().unwrap_or(&0));
        let part = [(first - 1, (last + 1 - first) as usize)];
        let ranges = if case.near.is_none() { &whole[..] } else { &part };
        for &(after, events_max) in ranges {
            let Some(entries) = reads.take(log.read(Revision::new(after), events_max)) else {
                continue;
            };
            assert_eq!(entries.len(), events_max.min(head.saturating_sub(after) as usize));
            for (revision, entry) in (after + 1..).zip(&entries) {
                assert_eq!(entry.revision.get(), revision);
                assert!(self.is_right(revision, &entry.event, case));
            }
        }
        reads
    }

    fn is_right(&self, revision: u64, event: &Event, case: &Case) -> bool {
        let index = revision as usize - 1;
        *event == self.events[index] || case.may_have_originals && *event == self.originals[index]
    }

    /// An append to the log works, and the log opens again with all events.
    fn append_to(&self, log: LocalLog, folder: MemoryFolder, case: &Case) {
        let head = log.head();
        let added = event(head.next().get(), &mut fastrand::Rng::with_seed(1));
        log.append(head, vec![added.clone()]).unwrap();
        let chain: Option<Chain> = log.chain(head.next()).unwrap();
        drop(log);
        let log = LocalLog::with_folder(folder, self.options).unwrap();
        assert_eq!((log.id(), log.head()), (self.id, head.next()));
        assert_eq!(log.chain(head.next()).unwrap(), chain);
        let mut entries = log.read(Revision::ZERO, usize::MAX).unwrap();
        assert_eq!(entries.pop().unwrap().event, added);
        for (revision, entry) in (1..).zip(&entries) {
            assert!(self.is_right(revision, &entry.event, case));
        }
        assert_eq!(entries.len() as u64, head.get());
    }
}

impl Reads {
    /// The result of a read; `None` if it is an error of damage.
    fn take<T>(&mut self, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(result) => {
                self.right += 1;
                Some(result)
            }
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
                assert_names_damage(&error);
                self.refused += 1;
                None
            }
        }
    }
}

fn assert_names_damage(error: &Error) {
    let message = error.to_string();
    let is_of_damage = matches!(
        error,
        Error::Damaged { .. }
            | Error::EndsEarly { .. }
            | Error::OtherFormat { .. }
            | Error::Missing { .. }
    );
    let names_file = message.contains(".seg") || message.contains("checkpoint");
    assert!(is_of_damage && names_file, "{message}");
}

/// A refused opening has left all files as they were.
fn assert_same_files(left: &Files, damaged: &Files) {
    let mut damaged = damaged.clone();
    damaged.retain(|name, _| !name.ends_with(".new") || left.contains_key(name));
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(&damaged), "files after a refused opening");
    assert!(*left == damaged, "a refused opening changed a file");
}
