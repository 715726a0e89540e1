//! Trouble that lasts: what is said of it when it begins, now and then, and when it is over, instead
//! of once for each call that meets it. Nothing here says anything.

use std::time::{Duration, Instant};

/// Between two lines about the same trouble: what is written to a disk that is full fills it more.
const INTERVAL: Duration = Duration::from_secs(60);

/// Some trouble, which may be there or not.
#[derive(Debug, Default)]
pub(super) struct RecurringWarning {
    reported_at: Option<Instant>,
    unreported: usize,
    all: usize,
}

impl RecurringWarning {
    /// It was met, so many times. How many times since it was reported last, if it is to be reported
    /// now.
    pub(super) fn met(&mut self, times: usize) -> Option<usize> {
        self.unreported += times;
        self.all += times;
        if self.reported_at.is_some_and(|reported_at| reported_at.elapsed() < INTERVAL) {
            return None;
        }
        self.reported_at = Some(Instant::now());
        Some(std::mem::take(&mut self.unreported))
    }

    /// It is not there. How many times it was met, if that is to be reported now.
    pub(super) fn over(&mut self) -> Option<usize> {
        let was_there = self.reported_at.is_some();
        let all = std::mem::take(self).all;
        was_there.then_some(all)
    }
}
