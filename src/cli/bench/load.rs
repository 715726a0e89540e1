//! Closed loops: so many calls under way at once, each followed by the next as soon as it is
//! answered. What cannot be called ends the loop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::client::{Client, Error};

/// The longest latency told apart, in µs: longer than a call may take.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Digits that count: three are a thousandth.
const DIGITS: u8 = 3;

/// How long each of many calls took.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// What a closed loop came to.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) per_s: f64,
    pub(super) latencies: Latencies,
}

impl Latencies {
    #[expect(clippy::expect_used, reason = "it takes these bounds, which are constants")]
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("bounds that it takes"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us);
    }

    pub(super) fn p50_us(&self) -> u64 {
        self.0.value_at_quantile(0.50)
    }

    pub(super) fn p99_us(&self) -> u64 {
        self.0.value_at_quantile(0.99)
    }
}

/// Keeps `in_flight` calls under way for `time`, spread over `clients`. `call` hears the number of
/// the call, from 0.
pub(super) async fn closed_loop<F>(
    clients: &[Client],
    in_flight: usize,
    time: Duration,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<Load, Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let latencies = Arc::new(Mutex::new(Latencies::new()));
    let started = Instant::now();
    let until = started + time;
    let calls = at_once(clients, in_flight, {
        let latencies = Arc::clone(&latencies);
        move |client, number| {
            let begun = Instant::now();
            let called = (begun < until).then(|| call(client, number));
            let latencies = Arc::clone(&latencies);
            async move {
                let Some(called) = called else { return Ok(false) };
                called.await?;
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
    Ok(Load { per_s, latencies })
}

/// Makes `calls` calls, `in_flight` at once.
pub(super) async fn so_many<F>(
    clients: &[Client],
    in_flight: usize,
    calls: u64,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    at_once(clients, in_flight, move |client, number| {
        let called = (number < calls).then(|| call(client, number));
        async move {
            match called {
                Some(called) => called.await.map(|()| true),
                None => Ok(false),
            }
        }
    })
    .await
    .map(drop)
}

/// `in_flight` tasks, each of which calls until it hears `false`. Gives the number of calls that
/// were made.
async fn at_once<F>(
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
    while let Some(ended) = tasks.join_next().await {
        calls += joined(ended)?;
    }
    Ok(calls)
}

/// What a task came to. One that panicked takes the bench down.
pub(super) fn joined<T>(ended: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    match ended {
        Ok(ended) => ended,
        // Nothing aborts a task that is still waited for.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
