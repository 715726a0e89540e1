//! The progress of the import of one file: counts, and a progress bar or notes. Never stops the
//! import.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::row::FileKind;
use crate::cli::{Output, number, text};
use crate::client;

/// Time between two notes if no bar is shown.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two updates of the bar.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
const BAR: &str = "{msg:36} [{bar:30}] {percent:>3} %, {eta} left";
const SPINNER: &str = "{msg:36} {spinner}";

#[derive(Debug)]
pub(super) struct Progress {
    kind: FileKind,
    file: PathBuf,
    output: Output,
    bar: ProgressBar,
    started: Instant,
    /// Number of [`NOTE_INTERVAL`]s up to the last note.
    notes: AtomicU64,
    is_retrying: AtomicBool,
    made: AtomicU64,
    already: AtomicU64,
    rejected: AtomicU64,
}

/// Numbers of rows by their result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowCounts {
    /// Rows that this import changed.
    pub(super) made: u64,
    /// Rows that the server had before.
    pub(super) already: u64,
    pub(super) rejected: u64,
}

impl Progress {
    /// The progress of a file of `bytes` bytes, or 0 if the size is unknown.
    pub(super) fn new(kind: FileKind, file: &Path, bytes: u64, output: Output) -> Self {
        // It draws only if standard error is a terminal.
        let target = match output.is_for_machines() {
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
            is_retrying: AtomicBool::new(false),
            made: AtomicU64::new(0),
            already: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Shows the progress after `bytes` bytes of the file.
    pub(super) fn read(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let took = self.started.elapsed();
        let done = self.counts().done();
        let text = || {
            let rate = number::rounded(number::per_second(done, took));
            format!("{}: {}, {rate} a second", self.kind.name(), number::grouped(done))
        };
        if !self.bar.is_hidden() {
            return self.bar.set_message(text());
        }
        let notes = took.as_secs() / NOTE_INTERVAL.as_secs();
        if self.notes.swap(notes, Ordering::Relaxed) < notes {
            self.output.note(&text());
        }
    }

    /// Counts a row that the server has now: by this call, or since an earlier one.
    pub(super) fn done(&self, by_this_call: bool) {
        let count = if by_this_call { &self.made } else { &self.already };
        count.fetch_add(1, Ordering::Relaxed);
        let is_retrying = &self.is_retrying;
        if is_retrying.load(Ordering::Relaxed) && is_retrying.swap(false, Ordering::Relaxed) {
            self.note("the server answers again");
        }
    }

    /// Counts and reports a row that cannot be imported.
    pub(super) fn reject(&self, line: u64, why: &str) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        // The error may quote the row, whose author is not trusted.
        self.note(&format!("{}:{line}: {}", self.file.display(), text::harmless(why)));
    }

    /// Reports that a call is retried. Many calls fail together, so only the first is reported.
    pub(super) fn retrying(&self, error: &client::Error) {
        if !self.is_retrying.swap(true, Ordering::Relaxed) {
            self.note(&format!("trying again: {error}"));
        }
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn counts(&self) -> RowCounts {
        RowCounts {
            made: self.made.load(Ordering::Relaxed),
            already: self.already.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }
}

impl RowCounts {
    /// Number of rows that the server has.
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
