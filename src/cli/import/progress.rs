//! How far the import of one file is: counts, and what people see of them. Never stops the work.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::row::Kind;
use crate::cli::{Output, number, show};
use crate::client;

/// How often those who see no bar are told how far it is.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the bar is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
const BAR: &str = "{msg:36} [{bar:30}] {percent:>3} %, {eta} left";
const SPINNER: &str = "{msg:36} {spinner}";

/// How far one file is.
#[derive(Debug)]
pub(super) struct Progress {
    kind: Kind,
    file: PathBuf,
    output: Output,
    bar: ProgressBar,
    started: Instant,
    notes: AtomicU64,
    in_trouble: AtomicBool,
    made: AtomicU64,
    already: AtomicU64,
    rejected: AtomicU64,
}

/// What became of a file's rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) made: u64,
    pub(super) already: u64,
    pub(super) rejected: u64,
}

impl Progress {
    /// Of a file of so many bytes, 0 if nobody knows.
    pub(super) fn new(kind: Kind, file: &Path, bytes: u64, output: Output) -> Self {
        // Draws nothing if standard error is no terminal.
        let target = match output.is_json() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let style = ProgressStyle::with_template(if bytes > 0 { BAR } else { SPINNER });
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(DRAW_INTERVAL);
        }
        Self {
            kind,
            file: file.to_owned(),
            output,
            bar,
            started: Instant::now(),
            notes: AtomicU64::new(0),
            in_trouble: AtomicBool::new(false),
            made: AtomicU64::new(0),
            already: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// So much of the file was read.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let took = self.started.elapsed();
        let done = self.counts().done();
        let so_far = || {
            let rate = number::rounded(number::per_second(done, took));
            format!("{}: {}, {rate} a second", self.kind.name(), number::grouped(done))
        };
        if !self.bar.is_hidden() {
            return self.bar.set_message(so_far());
        }
        let notes = took.as_secs() / NOTE_INTERVAL.as_secs();
        if self.notes.swap(notes, Ordering::Relaxed) < notes {
            self.output.note(&so_far());
        }
    }

    /// The server has a row now: by this call, or since an earlier one.
    pub(super) fn done(&self, by_this_call: bool) {
        let count = if by_this_call { &self.made } else { &self.already };
        count.fetch_add(1, Ordering::Relaxed);
        if self.in_trouble.load(Ordering::Relaxed) && self.in_trouble.swap(false, Ordering::Relaxed)
        {
            self.note("the server answers again");
        }
    }

    /// A row cannot be imported.
    pub(super) fn reject(&self, line: u64, why: &str) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        // Parts of the row may be quoted, and nobody knows who wrote it.
        self.note(&format!("{}:{line}: {}", self.file.display(), show::harmless(why)));
    }

    /// A call has to be made again. Many fail at once, and one word about it is enough.
    pub(super) fn trouble(&self, error: &client::Error) {
        if !self.in_trouble.swap(true, Ordering::Relaxed) {
            self.note(&format!("trying again: {error}"));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            made: self.made.load(Ordering::Relaxed),
            already: self.already.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }
}

impl Counts {
    /// How many rows the server has.
    pub(super) fn done(self) -> u64 {
        self.made + self.already
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            made: self.made + other.made,
            already: self.already + other.already,
            rejected: self.rejected + other.rejected,
        }
    }
}
