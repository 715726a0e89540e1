//! Waits for a condition, with a limit and a name. Never a wait that hopes.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Long enough for a busy machine: a server without a free file waits for one for 30 s. Nothing takes so
/// long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a condition that sends no notification.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(3);

/// Looks until `look` gives something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up_at, "waited {PATIENCE:?} in vain for {what}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// The output of `awaited`.
pub(crate) async fn within<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, awaited).await;
    done.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}
