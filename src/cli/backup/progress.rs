//! The progress of work on many bytes or events: a bar on a terminal, or nothing. Never stops the work.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Output;
use crate::cli::number::grouped;

/// Time between two updates.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
const BAR: &str = "{prefix}: {msg:24} [{bar:30}] {percent:>3} %, {eta} left";
const SPINNER: &str = "{prefix}: {msg:24} {spinner}";

/// Bytes that are done, or something else.
#[derive(Debug)]
pub(in crate::cli) struct ByteProgress {
    bar: ProgressBar,
    unit: &'static str,
}

impl ByteProgress {
    pub(in crate::cli) fn new(what: &'static str, output: Output) -> Self {
        Self::counting(what, "bytes", output)
    }

    /// Counts in `unit` instead of bytes.
    pub(in crate::cli) fn counting(what: &'static str, unit: &'static str, output: Output) -> Self {
        // It draws only if standard error is a terminal.
        let target = match output.is_for_machines() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(DRAW_INTERVAL);
        }
        Self { bar, unit }
    }

    /// Shows that so many bytes are done, of `all`; 0 if it is not known of how many.
    pub(in crate::cli) fn show(&self, done: u64, all: u64) {
        if self.bar.length().is_none() {
            let style = ProgressStyle::with_template(if all > 0 { BAR } else { SPINNER });
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        if all > 0 {
            self.bar.set_length(all);
        }
        self.bar.set_position(done);
        self.bar.set_message(format!("{} {}", grouped(done), self.unit));
    }

    /// Takes the bar off the terminal.
    pub(in crate::cli) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
