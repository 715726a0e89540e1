//! Waiting for what must happen, and saying what it was if it does not.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Long enough for a machine that is busy with other things; no test takes it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that cannot tell by itself that it has changed.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The outcome of `awaited`, which is called `what`.
pub(crate) async fn within<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, awaited).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// What `look` finds, once it finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up_at, "waited {PATIENCE:?} in vain for {what}");
        sleep(LOOK_EVERY).await;
    }
}
