//! What a thousand callers notice of each flood: a table, and a failure where their p99 is more than
//! twice that of the quiet server.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::attackers::{Attackers, Core, go_first};
use crate::callers::Callers;
use crate::floods::{FLOODS, Flood};
use crate::target::{Serves, Target};

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
/// The threads of a server by how their names begin.
const THREADS: [&str; 2] = ["whimbrel-worker", "whimbrel-tls"];

#[test]
#[ignore = "takes minutes, and its figures depend on the machine"]
fn long_form() {
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|only| only == name);
    let core = Core::leave_one();
    if core.is_none() {
        println!("The attackers have no core of their own, so callers wait for them as well.");
    }
    println!(
        "| flood | connections | quiet p50, p99 ms | p50, p99 ms | p99 ratio | refused | RSS MiB | \
         server's cores quiet, flooded | of workers | of TLS |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut too_slow = Vec::new();
    for serves in [Serves::Anybody, Serves::Tokens, Serves::Tls, Serves::FewFiles] {
        let mut floods: Vec<_> = FLOODS.iter().filter(|flood| flood.serves == serves).collect();
        floods.retain(|flood| is_wanted(flood.name));
        if floods.is_empty() {
            continue;
        }
        // Of the priority that it would have alone. The provider needs it as well.
        let starts = runtime();
        let target = starts.block_on(Target::start(serves));
        let measured = std::thread::scope(|scope| {
            let callers = scope.spawn(|| {
                if !go_first() {
                    println!("The callers have the server's priority, so it delays them as well.");
                }
                measure(&target, &floods, core)
            });
            callers.join()
        });
        too_slow.extend(measured.expect("no panic"));
    }
    assert!(too_slow.is_empty(), "these floods reach others: {too_slow:?}");
}

/// Prints a row for each of `floods`. Gives the names of those that reach others.
fn measure(target: &Target, floods: &[&Flood], core: Option<Core>) -> Vec<&'static str> {
    let runtime = runtime();
    let callers = runtime.block_on(Callers::connect(target, CALLERS, CALLS_PER_SECOND));
    let rows =
        floods.iter().filter(|flood| !runtime.block_on(row(target, &callers, ***flood, core)));
    rows.map(|flood| flood.name).collect()
}

/// Whether others are within what they may notice of `flood`.
async fn row(target: &Target, callers: &Callers, flood: Flood, core: Option<Core>) -> bool {
    sleep(CALM_TIME).await;
    let idle = target.processor_time();
    let ((), mut quiet) = callers.call_during(sleep(FLOOD_TIME)).await;
    let quiet_work = target.processor_time() - idle;
    target.prepare();
    let before = THREADS.map(|threads| target.processor_time_of(threads));
    let all_before = target.processor_time();
    let flooding = async {
        let attackers = Attackers::start_on(core, flood, target.attacked());
        sleep(FLOOD_TIME).await;
        let threads = THREADS.map(|threads| target.processor_time_of(threads));
        let all = target.processor_time() - all_before;
        drop(attackers);
        (threads, all)
    };
    let during = target.memory_mib_during(callers.call_during(flooding));
    let (((threads, all), mut noticed), most) = during.await;
    let (quiet_p50, quiet_p99) = (quiet.percentile_ms(50), quiet.percentile_ms(99));
    let (p50, p99) = (noticed.percentile_ms(50), noticed.percentile_ms(99));
    let ratio = p99 / quiet_p99;
    let cores = |work: Duration| work.as_secs_f64() / FLOOD_TIME.as_secs_f64();
    let [workers, tls] = [0, 1].map(|at| cores(threads[at] - before[at]));
    println!(
        "| {} | {} | {quiet_p50:.2}, {quiet_p99:.1} | {p50:.2}, {p99:.1} | {ratio:.1} | {} of {} | \
         {most} | {:.2}, {:.2} | {workers:.2} | {tls:.2} |",
        flood.name,
        flood.connections,
        noticed.refused.len(),
        noticed.refused.len() + noticed.answered(),
        cores(quiet_work),
        cores(all),
    );
    ratio <= RATIO_MAX && noticed.refused.is_empty()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("two threads")
}
