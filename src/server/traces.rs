//! Sends the spans of traced calls to a collector, by a thread of its own. Calls never wait for it: while the
//! collector is away or slow, spans are dropped and counted.
//!
//! ```text
//!   calls ──▶ queue ──▶ batch ──▶ collector takes it ──▶ exported
//!             │ full              └ away: tried again a few times ──▶ failed
//!             ▼ dropped
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::collector::{Collector, CollectorClient, TraceError};
use super::spans::{self, Source};
use crate::api::{FinishedCall, SpanOutcome, Tracer};
use crate::config::Tracing;
use crate::runtime::{Clock, CriticalThreads, WarningThrottle};

/// Most calls of one request to the collector, as OpenTelemetry's own exporters have it by default. With as
/// many waits as are kept they take some 3 MiB: a gRPC server takes 4 MiB unless it is set otherwise.
const BATCH_CALLS_MAX: usize = 512;
/// How long the first call of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How often a batch is sent until it is given up: over 15 seconds, in which a collector starts again.
const ATTEMPTS_MAX: u32 = 5;
/// After the first attempt; each further wait is twice as long.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a stopping server goes on sending what is left.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// The thread that sends traces.
#[derive(Debug)]
pub(super) struct Traces {
    stop: DropGuard,
    thread: JoinHandle<()>,
}

impl Traces {
    /// Sends what comes out of a tracer, which is returned. Connects when there is something to send.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub(super) fn start(
        settings: &Tracing,
        workers: usize,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<(Self, Tracer), TraceError> {
        let collector = Collector::find(settings)?;
        let (tracer, finished) = Tracer::new(settings, workers);
        let (counts, source) = (tracer.clone(), Source::new(settings));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(TraceError::Thread)?;
        let run = move || {
            runtime.block_on(async {
                let collector = collector.connect_lazy();
                let warnings = WarningThrottle::default();
                let tracer = counts;
                Exporter { finished, tracer, collector, source, clock, warnings }
                    .run(stopped)
                    .await;
            });
            Ok::<(), Infallible>(())
        };
        let thread = critical.spawn("whimbrel-traces", run);
        Ok((Self { stop: stop.drop_guard(), thread: thread.map_err(TraceError::Thread)? }, tracer))
    }

    /// Sends what is left, for a short time, and ends.
    pub(super) async fn stop(self) {
        let Self { stop, thread } = self;
        drop(stop);
        // If it has failed, its owner knows.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

struct Exporter {
    finished: mpsc::Receiver<FinishedCall>,
    tracer: Tracer,
    collector: CollectorClient,
    source: Source,
    clock: Clock,
    warnings: WarningThrottle,
}

impl Exporter {
    /// Runs until all is sent after a stop, or the time for that is over.
    async fn run(mut self, stop: CancellationToken) {
        let mut calls = Vec::with_capacity(BATCH_CALLS_MAX);
        let over = async {
            stop.cancelled().await;
            sleep(STOP_TIME_MAX).await;
        };
        let is_sent = tokio::select! {
            biased;
            () = self.work(&mut calls, &stop) => true,
            () = over => false,
        };
        if !is_sent {
            let mut left = calls.len();
            while self.finished.try_recv().is_ok() {
                left += 1;
            }
            self.tracer.count(SpanOutcome::Failed, left as u64);
            tracing::warn!(calls = left, "stopped before all traces were sent");
        }
    }

    /// Sends batch after batch, and after a stop what is left.
    async fn work(&mut self, calls: &mut Vec<FinishedCall>, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // It has a sender itself, so there is always one to come.
                _ = self.finished.recv_many(calls, BATCH_CALLS_MAX) => {}
            }
            if calls.len() < BATCH_CALLS_MAX {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(BATCH_DELAY) => {}
                }
                self.fill(calls);
            }
            self.export(calls, stop).await;
            self.warnings.log_due();
        }
        self.finished.close();
        loop {
            self.fill(calls);
            if calls.is_empty() {
                return;
            }
            self.export(calls, stop).await;
        }
    }

    /// Adds calls that are there already.
    fn fill(&mut self, calls: &mut Vec<FinishedCall>) {
        while calls.len() < BATCH_CALLS_MAX
            && let Ok(call) = self.finished.try_recv()
        {
            calls.push(call);
        }
    }

    /// Sends `calls`, several times if the collector does not take them, but not after a stop. Leaves none.
    async fn export(&mut self, calls: &mut Vec<FinishedCall>, stop: &CancellationToken) {
        let request = spans::request(&self.source, calls, &self.clock);
        let mut delay = RETRY_DELAY;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.collector.export(request.clone()).await {
                Ok(taken) => {
                    let refused = taken.into_inner().partial_success.unwrap_or_default();
                    let failed = (refused.rejected_spans.max(0) as u64).min(calls.len() as u64);
                    if failed > 0 {
                        let why = refused.error_message;
                        self.warnings.add(format!("the collector refused spans: {why}"));
                    }
                    self.tracer.count(SpanOutcome::Failed, failed);
                    self.tracer.count(SpanOutcome::Exported, calls.len() as u64 - failed);
                    calls.clear();
                    return;
                }
                Err(error) => {
                    let problem = spans::problem(&error);
                    self.warnings.add(format!("the collector does not take traces: {problem}"));
                    if attempt == ATTEMPTS_MAX || !is_passing(&error) || stop.is_cancelled() {
                        break;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(delay) => delay *= 2,
            }
        }
        self.tracer.count(SpanOutcome::Failed, calls.len() as u64);
        calls.clear();
    }
}

/// Whether a collector may take later what it refused so (OTLP, "Failures"): of a request that is too large
/// for it only if it says when. What broke on the way to it, maybe because it died, is not its refusal.
fn is_passing(error: &Status) -> bool {
    // What the other side answers has no cause here.
    if error.source().is_some() {
        return true;
    }
    match error.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => error.get_details_retry_info().is_some(),
        _ => false,
    }
}
