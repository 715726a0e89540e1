//! An open loop: calls begin when they are due, whether earlier ones are answered or not.
//!
//! ```text
//! pacer, a thread ──▶ when a call is due ──▶ the loop begins it ──▶ answer
//!                     └────────────── latency ─────────────────────────┘
//! ```
//!
//! A latency is counted from when the call was due. So a server that stops for a while is charged for
//! all calls that were due meanwhile, and a client that is late charges itself (coordinated omission).
//! Never waits for an answer before it begins the next call.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::CallKind;
use crate::cli::bench::load::Latencies;
use crate::client::Error;

/// Most calls without an answer. A step that reaches it has saturated the server or the client, and
/// ends: half of the calls that a server accepts at once, so that calls are slow and not refused.
pub const OUTSTANDING_MAX: usize = 4_096;

/// What the calls of a step came to.
#[derive(Debug)]
pub struct StepResult {
    /// In the order of [`CallKind::ALL`].
    kinds: [KindResult; 4],
    /// By how much calls began after they were due: the part of the client in each latency.
    late: Latencies,
    /// How long calls were begun.
    time: Duration,
    /// Whether the step ended early, with [`OUTSTANDING_MAX`] calls outstanding.
    is_saturated: bool,
    first_error: Option<Error>,
}

/// What the calls of one kind came to.
#[derive(Debug)]
pub struct KindResult {
    due: u64,
    answered_in_time: u64,
    errors: u64,
    latencies: Latencies,
}

/// A call that has ended.
struct EndedCall {
    kind: CallKind,
    due: Instant,
    ended: Instant,
    result: Result<(), Error>,
}

/// Starts a thread that sends, at random times, that a call is due: `rate` times a second on average
/// for `time`, each gap independent of the others (a Poisson process). The runtime's timer is too
/// coarse: it wakes once a millisecond.
///
/// # Errors
/// The operating system refuses the thread.
pub(super) fn start_pacer(
    rate: f64,
    time: Duration,
) -> std::io::Result<mpsc::UnboundedReceiver<Instant>> {
    // Without a bound: the loop takes what is due as fast as it can, and ends at its own bound.
    let (sender, arrivals) = mpsc::unbounded_channel();
    thread::Builder::new().name("bench-pacer".to_owned()).spawn(move || {
        let started = Instant::now();
        let mut rng = Rng::new();
        let mut due = Duration::ZERO;
        loop {
            // 1 - f64() is never 0, whose logarithm is infinite.
            due += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate);
            let next = due.min(time);
            thread::sleep(next.saturating_sub(started.elapsed()));
            if due >= time || sender.send(started + due).is_err() {
                break;
            }
        }
    })?;
    Ok(arrivals)
}

/// Begins a call of `call` for each of `arrivals`, which are received when they are due, and waits
/// for all answers.
pub async fn open_loop<F>(
    mut arrivals: mpsc::UnboundedReceiver<Instant>,
    mut call: impl FnMut() -> (CallKind, F),
) -> StepResult
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let started = Instant::now();
    let mut result = StepResult::new();
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            due = arrivals.recv() => {
                let Some(due) = due else { break };
                if calls.len() == OUTSTANDING_MAX {
                    result.is_saturated = true;
                    break;
                }
                let (kind, answer) = call();
                result.begin(kind, due);
                calls.spawn(async move {
                    let result = answer.await;
                    EndedCall { kind, due, ended: Instant::now(), result }
                });
            }
            Some(ended) = calls.join_next() => result.end(joined(ended), None),
        }
    }
    drop(arrivals);
    let until = Instant::now();
    result.time = until - started;
    while let Some(ended) = calls.join_next().await {
        result.end(joined(ended), Some(until));
    }
    result
}

/// The result of the task of a call. A panic of the task is a panic of the bench.
fn joined(ended: Result<EndedCall, JoinError>) -> EndedCall {
    // The only other case is an abort, and nothing aborts these tasks.
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

impl StepResult {
    fn new() -> Self {
        Self {
            kinds: CallKind::ALL.map(|_| KindResult::new()),
            late: Latencies::new(),
            time: Duration::ZERO,
            is_saturated: false,
            first_error: None,
        }
    }

    /// Whether the step ended early, with [`OUTSTANDING_MAX`] calls without an answer.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.is_saturated
    }

    /// How long calls were begun.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// The calls of a kind.
    #[must_use]
    pub fn of(&self, kind: CallKind) -> &KindResult {
        &self.kinds[kind as usize]
    }

    /// The calls of all kinds together.
    #[must_use]
    pub fn all(&self) -> KindResult {
        let mut all = KindResult::new();
        for kind in &self.kinds {
            all.due += kind.due;
            all.answered_in_time += kind.answered_in_time;
            all.errors += kind.errors;
            all.latencies.add(&kind.latencies);
        }
        all
    }

    /// By how much calls began after they were due.
    pub(super) fn late(&self) -> &Latencies {
        &self.late
    }

    /// The first error of a call.
    pub(super) fn first_error(&self) -> Option<&Error> {
        self.first_error.as_ref()
    }

    fn begin(&mut self, kind: CallKind, due: Instant) {
        self.kinds[kind as usize].due += 1;
        self.late.record(due.elapsed());
    }

    /// Records a call that has ended. The step has ended `until`, or goes on.
    fn end(&mut self, ended: EndedCall, until: Option<Instant>) {
        let EndedCall { kind, due, ended, result } = ended;
        let kind = &mut self.kinds[kind as usize];
        match result {
            Ok(()) => {
                kind.latencies.record(ended.duration_since(due));
                kind.answered_in_time += u64::from(until.is_none_or(|until| ended <= until));
            }
            Err(error) => {
                kind.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

impl KindResult {
    fn new() -> Self {
        Self { due: 0, answered_in_time: 0, errors: 0, latencies: Latencies::new() }
    }

    /// Number of calls that were due.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Number of calls that were answered with OK before the end of the step.
    #[must_use]
    pub fn answered_in_time(&self) -> u64 {
        self.answered_in_time
    }

    /// Number of calls that failed. They have no latency.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The latency, in µs, that the part `quantile` of the calls does not exceed, from 0 to 1. Calls
    /// that were answered after the end of the step count, too.
    #[must_use]
    pub fn latency_us(&self, quantile: f64) -> u64 {
        self.latencies.at_us(quantile)
    }
}
