//! Retires all connections of a stopping server, in steps, so that their clients do not all
//! connect to the next server at the same moment. Never waits longer than its limits.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::connections::Connections;
use crate::api::Closer;

/// Time between two steps.
const STEP_INTERVAL: Duration = Duration::from_millis(10);
/// Least number of connections in a step, which makes 1,000 a second. Fewer would only make a stop
/// longer.
const STEP_CONNECTIONS_MIN: usize = 10;
/// All connections are retired within the drain time divided by this. The rest of the time is for
/// the clients to leave.
const RETIRE_TIME_DIVISOR: u32 = 2;
/// How long closed connections may take to end.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Retires all connections in steps, the oldest first, and waits until they have ended. Closes the
/// connections that are still open after `time_max`.
pub(super) async fn drain(connections: &Connections, time_max: Duration) {
    let retired = async {
        retire(connections, time_max / RETIRE_TIME_DIVISOR).await;
        connections.all_closed().await;
    };
    if timeout(time_max, retired).await.is_ok() {
        return;
    }
    let left = connections.closers();
    tracing::warn!(connections = left.len(), "closed the connections still open at the deadline");
    left.iter().for_each(Closer::close);
    if timeout(CLOSE_TIME_MAX, connections.all_closed()).await.is_err() {
        tracing::warn!("some closed connections have not ended");
    }
}

async fn retire(connections: &Connections, within: Duration) {
    let closers = connections.closers();
    let steps_max = within.as_millis() / STEP_INTERVAL.as_millis();
    let steps_max = usize::try_from(steps_max).unwrap_or(usize::MAX).max(1);
    let step_connections = closers.len().div_ceil(steps_max).max(STEP_CONNECTIONS_MIN);
    tracing::info!(connections = closers.len(), step_connections, "retiring connections");

    for (number, step) in closers.chunks(step_connections).enumerate() {
        if number > 0 {
            sleep(STEP_INTERVAL).await;
        }
        step.iter().for_each(Closer::retire);
    }
}
