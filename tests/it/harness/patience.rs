//! Waits with a limit and a name: a wait that ends in vain panics with the name.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Long enough for a busy machine. No test takes so long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The interval between two polls of a condition that sends no notification.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The output of `awaited`; `what` is the name of the wait.
pub(crate) async fn within<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, awaited).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Calls `poll` until it returns a value.
pub(crate) async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(Instant::now() < give_up_at, "waited {PATIENCE:?} in vain for {what}");
        sleep(POLL_INTERVAL).await;
    }
}
