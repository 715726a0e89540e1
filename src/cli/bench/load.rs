//! Closed loops: a fixed number of concurrent calls, each followed by the next as soon as it is
//! answered. A call that fails ends the loop. Never retries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::client::{Client, Error};

/// The highest recorded latency, in µs: longer than a call may take.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Significant decimal digits: three give a resolution of a thousandth.
const DIGITS: u8 = 3;

/// The distribution of the latencies of many calls.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// The result of a closed loop.
#[derive(Debug)]
pub(super) struct LoadResult {
    pub(super) per_s: f64,
    pub(super) latencies: Latencies,
}

impl Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are valid constants")]
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("valid bounds"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        // Longer ones are counted as the longest.
        self.0.saturating_record(latency.as_micros().min(u128::from(LATENCY_US_MAX)) as u64);
    }

    /// Adds the latencies of other calls.
    pub(super) fn add(&mut self, others: &Self) {
        // Adding fails only if the other one has greater bounds, and all have the same.
        let _ = self.0.add(&others.0);
    }

    pub(super) fn p50_us(&self) -> u64 {
        self.at_us(0.50)
    }

    pub(super) fn p99_us(&self) -> u64 {
        self.at_us(0.99)
    }

    /// The latency that the part `quantile` of the calls does not exceed; 0 without calls.
    pub(super) fn at_us(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }
}

/// Keeps `in_flight` calls running for `time`, spread over `clients`. `call` takes the number of
/// the call, counted from 0.
pub(super) async fn closed_loop<F>(
    clients: &[Client],
    in_flight: usize,
    time: Duration,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<LoadResult, Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let latencies = Arc::new(Mutex::new(Latencies::new()));
    let started = Instant::now();
    let until = started + time;
    let calls = run_until_false(clients, in_flight, {
        let latencies = Arc::clone(&latencies);
        move |client, number| {
            let begun = Instant::now();
            let call = (begun < until).then(|| call(client, number));
            let latencies = Arc::clone(&latencies);
            async move {
                let Some(call) = call else { return Ok(false) };
                call.await?;
                latencies.lock().unwrap_or_else(PoisonError::into_inner).record(begun.elapsed());
                Ok(true)
            }
        }
    })
    .await?;
    let per_s = crate::cli::number::per_second(calls, started.elapsed());
    let latencies = std::mem::replace(
        &mut *latencies.lock().unwrap_or_else(PoisonError::into_inner),
        Latencies::new(),
    );
    Ok(LoadResult { per_s, latencies })
}

/// Makes `calls` calls, `in_flight` of them concurrently.
pub(super) async fn run_calls<F>(
    clients: &[Client],
    in_flight: usize,
    calls: u64,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    run_until_false(clients, in_flight, move |client, number| {
        let call = (number < calls).then(|| call(client, number));
        async move {
            match call {
                Some(call) => call.await.map(|()| true),
                None => Ok(false),
            }
        }
    })
    .await
    .map(drop)
}

/// Runs `in_flight` tasks, each of which calls `call` until that gives `false`. Gives the number of
/// calls that gave `true`.
async fn run_until_false<F>(
    clients: &[Client],
    in_flight: usize,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<u64, Error>
where
    F: Future<Output = Result<bool, Error>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for client in clients.iter().cycle().take(in_flight) {
        let (client, call, next) = (client.clone(), call.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let mut calls = 0;
            while call(client.clone(), next.fetch_add(1, Ordering::Relaxed)).await? {
                calls += 1;
            }
            Ok(calls)
        });
    }
    let mut calls = 0;
    while let Some(result) = tasks.join_next().await {
        calls += join_result(result)?;
    }
    Ok(calls)
}

/// The result of a task. A panic of the task is a panic of the bench.
pub(super) fn join_result<T>(result: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    match result {
        Ok(result) => result,
        // The only other case is an abort, and nothing aborts these tasks.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
