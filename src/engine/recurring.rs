//! Warnings about a condition that lasts: one when it begins, one now and then, and one when it is
//! over, instead of one for each call that meets it. Decides when to log, and logs nothing itself.

use std::time::{Duration, Instant};

/// Between two lines about the same condition: what is logged to a disk that is full fills it more.
const INTERVAL: Duration = Duration::from_secs(60);

/// A condition that may be there or not.
#[derive(Debug, Default)]
pub(super) struct RecurringWarning {
    reported_at: Option<Instant>,
    unreported: usize,
    all: usize,
}

impl RecurringWarning {
    /// The condition was met, so many `times`. Gives how many times since the last report, if it is to
    /// be reported now.
    pub(super) fn met(&mut self, times: usize) -> Option<usize> {
        self.unreported += times;
        self.all += times;
        if self.reported_at.is_some_and(|reported_at| reported_at.elapsed() < INTERVAL) {
            return None;
        }
        self.reported_at = Some(Instant::now());
        Some(std::mem::take(&mut self.unreported))
    }

    /// The condition is over. Gives how many times it was met, if that is to be reported now.
    pub(super) fn over(&mut self) -> Option<usize> {
        let was_there = self.reported_at.is_some();
        let all = std::mem::take(self).all;
        was_there.then_some(all)
    }
}
