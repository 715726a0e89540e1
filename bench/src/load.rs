//! The load generator, the same for every system: closed loops for rates, an open loop for
//! latencies. It runs on the one thread of the caller's runtime, and never measures a server
//! itself.
//!
//! In the open loop each post has its own due time, independent of earlier posts, and its latency
//! counts from then. So a stall of the system or of the generator counts for every post that was
//! due during it (this avoids coordinated omission).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::error::Error;
use crate::peer::Caller;
use crate::stats::Latencies;

/// Connections or clients, for calls in turn.
pub(crate) type Callers = Vec<Arc<dyn Caller>>;

/// The result of a closed loop.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) calls: u64,
    pub(crate) per_s: f64,
    pub(crate) latencies: Latencies,
}

/// Keeps `in_flight` calls in flight for `time`, spread over `callers`.
pub(crate) async fn closed_loop<C, F>(
    callers: &[C],
    in_flight: usize,
    time: Duration,
    call: impl Fn(C) -> F + Clone + Send + 'static,
) -> Result<Load, Error>
where
    C: Clone + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let latencies = Arc::new(Mutex::new(Latencies::new()));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in callers.iter().cycle().take(in_flight) {
        let (caller, call, latencies) = (caller.clone(), call.clone(), Arc::clone(&latencies));
        tasks.spawn(async move {
            loop {
                let begun = Instant::now();
                if begun - started >= time {
                    return Ok(());
                }
                call(caller.clone()).await?;
                lock(&latencies).record(begun.elapsed());
            }
        });
    }
    all(&mut tasks).await?;
    let took = started.elapsed();
    let latencies = std::mem::replace(&mut *lock(&latencies), Latencies::new());
    let calls = latencies.len();
    Ok(Load { calls, per_s: calls as f64 / took.as_secs_f64(), latencies })
}

/// Makes `calls` calls, `in_flight` at once. `call` gets the number of the call, from 0.
pub(crate) async fn so_many<F>(
    callers: &Callers,
    in_flight: usize,
    calls: u64,
    call: impl Fn(Arc<dyn Caller>, u64) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for caller in callers.iter().cycle().take(in_flight) {
        let (caller, call, next) = (Arc::clone(caller), call.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return Ok(());
                }
                call(Arc::clone(&caller), number).await?;
            }
        });
    }
    all(&mut tasks).await
}

/// Makes `calls` calls at a rate, also while earlier ones are not answered. `call` gets the number
/// of the call, from 0, and its due time.
pub(crate) async fn open_loop<F>(
    callers: &Callers,
    per_s: f64,
    calls: u64,
    call: impl Fn(Arc<dyn Caller>, u64, Instant) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    // The runtime's timer has a resolution of milliseconds, too coarse for thousands of calls a
    // second. A thread that sleeps until each due time is finer.
    let (due, mut when_due) = mpsc::unbounded_channel();
    let pace = std::thread::Builder::new().name("bench-pace".to_owned()).spawn(move || {
        let started = Instant::now();
        for number in 0..calls {
            let at = started + due_after(number, per_s);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if due.send((number, at)).is_err() {
                return;
            }
        }
    })?;
    let mut tasks = JoinSet::new();
    while let Some((number, at)) = when_due.recv().await {
        let caller = &callers[number as usize % callers.len()];
        tasks.spawn(call(Arc::clone(caller), number, at));
        while let Some(ended) = tasks.try_join_next() {
            joined(ended)?;
        }
    }
    all(&mut tasks).await?;
    pace.join().map_err(|_| Error::Failed("the pace thread panicked".to_owned()))
}

/// The due time of a call, from the start.
fn due_after(number: u64, per_s: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / per_s)
}

async fn all(tasks: &mut JoinSet<Result<(), Error>>) -> Result<(), Error> {
    while let Some(ended) = tasks.join_next().await {
        joined(ended)?;
    }
    Ok(())
}

/// The result of a task. A panic of the task goes on in the caller.
pub(crate) fn joined<T>(ended: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    match ended {
        Ok(ended) => ended,
        // No task is aborted, so the error is a panic.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Locks; a poisoned lock is used only while the process ends.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at once, except for one call that stalls the whole generator.
    struct Stalls;

    #[async_trait::async_trait]
    impl Caller for Stalls {
        async fn publish(&self, _author: u32, post: u64) -> Result<u64, Error> {
            if post == 10 {
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(post)
        }

        async fn floor(&self) -> Result<(), Error> {
            Ok(())
        }
    }

    /// The aim: one stall of 100 ms at 1,000 calls a second counts for all calls that were due
    /// during it, not only for the stalled one.
    #[tokio::test]
    async fn a_stall_counts_for_all_that_was_due_meanwhile() {
        let latencies = Arc::new(Mutex::new(Latencies::new()));
        let callers: Callers = vec![Arc::new(Stalls)];
        let recorded = Arc::clone(&latencies);
        open_loop(&callers, 1_000.0, 200, move |caller, number, due| {
            let latencies = Arc::clone(&recorded);
            async move {
                caller.publish(0, number).await?;
                lock(&latencies).record(due.elapsed());
                Ok(())
            }
        })
        .await
        .unwrap();
        let latencies = lock(&latencies);
        assert_eq!(latencies.len(), 200);
        // Of 200 calls some 100 were due in the stall, and waited 50 ms on average.
        assert!(latencies.quantile_us(0.75) > 20_000.0, "{}", latencies.quantile_us(0.75));
        assert!(latencies.max_us() >= 100_000.0);
    }

    /// The aim: only the rate decides when a call is due.
    #[test]
    fn the_rate_says_when_a_call_is_due() {
        assert_eq!(due_after(0, 5_000.0), Duration::ZERO);
        assert_eq!(due_after(5, 5_000.0), Duration::from_millis(1));
        assert_eq!(due_after(10_000, 5_000.0), Duration::from_secs(2));
    }

    /// The aim: exactly that number of calls is made, each number once.
    #[tokio::test]
    async fn so_many_are_made() {
        let callers: Callers = vec![Arc::new(Stalls)];
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&numbers);
        so_many(&callers, 7, 50, move |_, number| {
            let seen = Arc::clone(&seen);
            async move {
                lock(&seen).push(number);
                Ok(())
            }
        })
        .await
        .unwrap();
        let mut numbers = lock(&numbers).clone();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}
