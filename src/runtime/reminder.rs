//! When to say that something lasts which an operator has to mend: at once when it begins or becomes
//! something else, and then once a day. Never decides what it is.

use std::time::Duration;

/// Time between two reminders: operators look at a log about as often.
const REMINDER_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What was last said of a condition `C`.
#[derive(Debug)]
pub struct Reminder<C> {
    last: Option<(C, Duration)>,
}

impl<C> Default for Reminder<C> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<C: Copy + PartialEq> Reminder<C> {
    /// The condition that is to be said now, at a time that
    /// [`Clock::elapsed`](super::Clock::elapsed) gave. `None` for `condition` is that nothing is
    /// wrong.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use whimbrel::runtime::Reminder;
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let mut reminder = Reminder::default();
    /// assert_eq!(reminder.due(Some("hot"), Duration::ZERO), Some("hot"));
    /// assert_eq!(reminder.due(Some("hot"), DAY / 2), None);
    /// assert_eq!(reminder.due(Some("hot"), DAY), Some("hot"));
    /// assert_eq!(reminder.due(Some("hotter"), DAY), Some("hotter"));
    /// assert_eq!(reminder.due(None, DAY), None);
    /// assert_eq!(reminder.due(Some("hot"), DAY), Some("hot"));
    /// ```
    pub fn due(&mut self, condition: Option<C>, elapsed: Duration) -> Option<C> {
        let is_known = |(last, at): &(C, Duration)| {
            // A monotonic clock never falls.
            Some(*last) == condition && elapsed < *at + REMINDER_INTERVAL
        };
        if !self.last.as_ref().is_some_and(is_known) {
            self.last = condition.map(|condition| (condition, elapsed));
            return condition;
        }
        None
    }
}
