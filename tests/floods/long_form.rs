//! What a thousand callers notice of each flood: a table, and a failure where their p99 is more than
//! twice that of the quiet server.

use std::time::Duration;

use tokio::time::sleep;

use crate::callers::Callers;
use crate::floods::FLOODS;
use crate::target::Target;

const CALLERS: usize = 1_000;
/// A tenth of what two cores answer.
const CALLS_PER_SECOND: u32 = 1_000;
const FLOOD_TIME: Duration = Duration::from_secs(5);
/// Between two floods, so that each meets a quiet server.
const CALM_TIME: Duration = Duration::from_secs(2);
/// How many times as long as on a quiet server a call may take.
const RATIO_MAX: f64 = 2.0;
/// Names the floods to run, separated by commas; all by default.
const ONLY_VARIABLE: &str = "WHIMBREL_FLOODS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and its figures depend on the machine"]
async fn long_form() {
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let target = Target::start(&[]).await;
    let callers = Callers::connect(&target, CALLERS, CALLS_PER_SECOND).await;
    let mut too_slow = Vec::new();
    println!(
        "| flood | connections | quiet p50, p99 ms | p50 ms | p99 ms | p99 ratio | refused | RSS MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for flood in FLOODS.iter().filter(|flood| only.is_empty() || only.contains(flood.name)) {
        sleep(CALM_TIME).await;
        let ((), mut quiet) = callers.call_during(sleep(FLOOD_TIME)).await;
        let flooding = async {
            tokio::select! {
                () = flood.run(target.address()) => {}
                () = sleep(FLOOD_TIME) => {}
            }
        };
        let during = target.memory_mib_during(callers.call_during(flooding));
        let (((), mut noticed), most) = during.await;
        let (quiet_p50, quiet_p99) = (quiet.percentile_ms(50), quiet.percentile_ms(99));
        let (p50, p99) = (noticed.percentile_ms(50), noticed.percentile_ms(99));
        let ratio = p99 / quiet_p99;
        println!(
            "| {} | {} | {quiet_p50:.2}, {quiet_p99:.1} | {p50:.2} | {p99:.1} | {ratio:.1} | {} of {} | {most} |",
            flood.name,
            flood.connections,
            noticed.refused.len(),
            noticed.refused.len() + noticed.answered(),
        );
        if ratio > RATIO_MAX || !noticed.refused.is_empty() {
            too_slow.push(flood.name);
        }
    }
    assert!(too_slow.is_empty(), "these floods reach others: {too_slow:?}");
}
