//! How late a worker is with its tasks, as a timer on it sees: the time that a call, too, waits before
//! anybody looks at it. Never decides what is too late.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::metrics::{Buckets, Histogram, Metric, MetricValue, PerWorker, Scrape};

/// Time between two looks: shorter than what a caller notices, and 40 wake-ups a second cost nothing.
const INTERVAL: Duration = Duration::from_millis(25);
/// Looks that count. One may be late because of a single long step, which is no overload.
const LOOKS: usize = 4;

const LATENESS: Metric = Metric::histogram(
    "whimbrel_worker_lateness_seconds",
    &["worker"],
    "By how much a timer on the worker was late, looked at 40 times a second",
);
const SILENCE: Metric = Metric::gauge(
    "whimbrel_worker_silence_seconds",
    &["worker"],
    "How long ago the worker last ran: more than a second means that something blocks it",
);

thread_local! {
    static LATELY: Cell<[Duration; LOOKS]> = const { Cell::new([Duration::ZERO; LOOKS]) };
}

/// By how much the calling worker has been late at each of the last few looks; zero on other threads.
#[must_use]
pub fn worker_lateness() -> Duration {
    LATELY.get().into_iter().min().unwrap_or_default()
}

/// When each worker last ran, and how late it was. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkerPulse(Arc<PulseState>);

#[derive(Debug)]
struct PulseState {
    begun: Instant,
    workers: OnceLock<PerWorker<Pulse>>,
}

#[derive(Debug)]
struct Pulse {
    /// In nanoseconds after the begin.
    last: AtomicU64,
    lateness: Histogram,
}

impl WorkerPulse {
    /// Of no worker yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(PulseState { begun: Instant::now(), workers: OnceLock::new() }))
    }

    /// `count` workers begin now.
    ///
    /// # Panics
    /// They have begun before.
    pub(super) fn begin(&self, count: usize) {
        let now = self.now();
        let pulse =
            || Pulse { last: AtomicU64::new(now), lateness: Histogram::new(&Buckets::TIME) };
        let begun = self.0.workers.set(PerWorker::new(count, pulse));
        assert!(begun.is_ok(), "the workers begin once");
    }

    /// How long each worker has not run, from worker 1 on.
    #[must_use]
    pub fn silences(&self) -> Vec<Duration> {
        let now = self.now();
        let silence = |pulse: &Pulse| {
            // It may have run since.
            Duration::from_nanos(now.saturating_sub(pulse.last.load(Ordering::Relaxed)))
        };
        self.workers().map(silence).collect()
    }

    /// Collects the metrics of the workers.
    pub fn collect(&self, scrape: &mut Scrape) {
        let name = |worker: usize| [worker.to_string()];
        let lateness = self.workers().map(|pulse| pulse.lateness.value());
        scrape.add(&LATENESS, (1..).map(name).zip(lateness));
        let silences = self.silences().into_iter();
        let silences = silences.map(|silence| MetricValue::Number(silence.as_secs_f64()));
        scrape.add(&SILENCE, (1..).map(name).zip(silences));
    }

    fn workers(&self) -> impl Iterator<Item = &Pulse> {
        // The first set is of threads that are no workers.
        self.0.workers.get().into_iter().flat_map(|workers| workers.all().skip(1))
    }

    fn now(&self) -> u64 {
        // 2⁶⁴ ns are 584 years.
        self.0.begun.elapsed().as_nanos() as u64
    }

    /// Measures the calling worker, for ever.
    pub(super) async fn measure(&self) -> Infallible {
        for look in (0..LOOKS).cycle() {
            let due = tokio::time::Instant::now() + INTERVAL;
            sleep_until(due).await;
            let late = due.elapsed();
            let mut lately = LATELY.get();
            lately[look] = late;
            LATELY.set(lately);
            if let Some(workers) = self.0.workers.get() {
                let pulse = workers.here();
                pulse.last.store(self.now(), Ordering::Relaxed);
                pulse.lateness.observe_time(late);
            }
        }
        unreachable!("a cycle has no end")
    }
}

impl Default for WorkerPulse {
    fn default() -> Self {
        Self::new()
    }
}
