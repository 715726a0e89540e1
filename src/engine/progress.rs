//! Reports of work that may take minutes: none for short work, and at most one in an interval. Decides
//! when to log, and never logs itself.

use std::time::Duration;

/// The least time between two reports.
const INTERVAL: Duration = Duration::from_secs(10);

/// The reports of one piece of work at a time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When the work began, or was reported last, by a monotonic clock.
    since: Option<Duration>,
    was_reported: bool,
}

impl Progress {
    /// To be called after each step, at `now` of a monotonic clock. Returns whether a report is due.
    pub(super) fn advanced(&mut self, now: Duration) -> bool {
        let is_due = now.saturating_sub(*self.since.get_or_insert(now)) >= INTERVAL;
        if is_due {
            self.since = Some(now);
            self.was_reported = true;
        }
        is_due
    }

    /// To be called when no work is left. Returns whether any was reported.
    pub(super) fn ended(&mut self) -> bool {
        std::mem::take(self).was_reported
    }
}
