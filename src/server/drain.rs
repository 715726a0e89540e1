//! Sending all clients elsewhere, not all in one moment: those that lost one server should not
//! storm the next.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::connections::Connections;
use crate::api::Closer;

/// Between two steps.
const STEP_INTERVAL: Duration = Duration::from_millis(10);
/// Fewer at a step would only make a stop longer: this is 1,000 a second.
const STEP_CONNECTIONS_MIN: usize = 10;
/// The part of the time for draining in which all have been told; the rest is theirs.
const TELLING_PART: u32 = 2;
/// How long connections have to notice that they were closed.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Retires all connections, the oldest first and in steps, and waits until they have ended; closes
/// what is left after `time_max`.
pub(super) async fn drain(connections: &Connections, time_max: Duration) {
    let retired = async {
        retire(connections, time_max / TELLING_PART).await;
        connections.ended().await;
    };
    if timeout(time_max, retired).await.is_ok() {
        return;
    }
    let left = connections.closers();
    tracing::warn!(connections = left.len(), "still open at the deadline, and closed");
    left.iter().for_each(Closer::close);
    if timeout(CLOSE_TIME_MAX, connections.ended()).await.is_err() {
        tracing::warn!("connections did not notice that they were closed");
    }
}

async fn retire(connections: &Connections, within: Duration) {
    let closers = connections.closers();
    let steps_max = within.as_millis() / STEP_INTERVAL.as_millis();
    let steps_max = usize::try_from(steps_max).unwrap_or(usize::MAX).max(1);
    let at_once = closers.len().div_ceil(steps_max).max(STEP_CONNECTIONS_MIN);
    tracing::info!(connections = closers.len(), at_once, "retiring connections");

    for (number, step) in closers.chunks(at_once).enumerate() {
        if number > 0 {
            sleep(STEP_INTERVAL).await;
        }
        step.iter().for_each(Closer::retire);
    }
}
