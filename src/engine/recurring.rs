//! Warnings about a condition that lasts: one when it starts, one per interval, and one when it
//! ends, instead of one for each call. Decides when to log, and never logs itself.

use std::time::{Duration, Instant};

/// The time between two warnings about the same condition: the log file may be on the full disk.
const INTERVAL: Duration = Duration::from_secs(60);

/// The warnings about one condition.
#[derive(Debug, Default)]
pub(super) struct RecurringWarning {
    reported_at: Option<Instant>,
    unreported: usize,
    all: usize,
}

impl RecurringWarning {
    /// To be called when the condition occurred so many `times`. Returns the number since the last
    /// report, if a report is due.
    pub(super) fn occurred(&mut self, times: usize) -> Option<usize> {
        self.unreported += times;
        self.all += times;
        if self.reported_at.is_some_and(|reported_at| reported_at.elapsed() < INTERVAL) {
            return None;
        }
        self.reported_at = Some(Instant::now());
        Some(std::mem::take(&mut self.unreported))
    }

    /// To be called when the condition has ended. Returns the number of occurrences, if it was
    /// reported before.
    pub(super) fn ended(&mut self) -> Option<usize> {
        let was_reported = self.reported_at.is_some();
        let all = std::mem::take(self).all;
        was_reported.then_some(all)
    }
}
