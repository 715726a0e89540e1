//! How late a worker is with its tasks, as a timer on it sees: the time that a call, too, waits before
//! anybody looks at it. Never decides what is too late.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Time between two looks: shorter than what a caller notices, and 40 wake-ups a second cost nothing.
const INTERVAL: Duration = Duration::from_millis(25);
/// Looks that count. One may be late because of a single long step, which is no overload.
const LOOKS: usize = 4;

thread_local! {
    static LATELY: Cell<[Duration; LOOKS]> = const { Cell::new([Duration::ZERO; LOOKS]) };
}

/// By how much the calling worker has been late at each of the last few looks; zero on other threads.
#[must_use]
pub fn worker_lateness() -> Duration {
    LATELY.get().into_iter().min().unwrap_or_default()
}

/// Measures the calling worker, for ever.
pub(super) async fn measure() -> Infallible {
    for look in (0..LOOKS).cycle() {
        let due = Instant::now() + INTERVAL;
        sleep_until(due).await;
        let mut lately = LATELY.get();
        lately[look] = due.elapsed();
        LATELY.set(lately);
    }
    unreachable!("a cycle has no end")
}
