//! Decides which calls are traced, and hands what is known of them to who sends it away. Never waits: what
//! finds the queue full is dropped and counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::config::Tracing;
use crate::runtime::CallContext;
use crate::runtime::call::Trace;
use crate::runtime::metrics::{Counters, Metric, PerWorker, Scrape, label};

const SPANS: Metric = Metric::counter(
    "whimbrel_traced_calls_total",
    &["outcome"],
    "Calls that were traced, by what became of their spans",
);

/// Most calls that wait to be sent to the collector: what OpenTelemetry's own batches hold by default, some
/// MiB with their waits.
const QUEUE_CALLS_MAX: usize = 2_048;

label! {
    /// What became of a span.
    pub enum SpanOutcome {
        /// The collector has taken it.
        Exported = "exported",
        /// It found the queue full.
        Dropped = "dropped",
        /// The collector could not be reached, or did not take it.
        Failed = "failed",
    }
}

/// A call that has ended, or a stream that is live.
#[derive(Debug)]
pub struct FinishedCall {
    /// Its RPC, as `package.Service/Method`; "other" for those that do not exist.
    pub rpc: &'static str,
    /// Its id, its trace and its waits.
    pub context: Arc<CallContext>,
    /// The address of its client.
    pub peer: Option<IpAddr>,
    /// When its headers were there.
    pub begun_at: Instant,
    /// When its answer was handed to the transport, or its stream was live.
    pub ended_at: Instant,
    /// Its gRPC code.
    pub code: i32,
    /// The reason of its error; empty without one.
    pub reason: &'static str,
}

/// Decides which calls are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// The part of calls that are traced.
    sampling: f64,
    trusts_callers: bool,
    calls: mpsc::Sender<FinishedCall>,
    spans: Arc<PerWorker<Counters<SpanOutcome>>>,
}

impl Tracer {
    /// A tracer of a server with so many workers, and where its finished calls come out.
    #[must_use]
    pub fn new(settings: &Tracing, workers: usize) -> (Self, mpsc::Receiver<FinishedCall>) {
        let (calls, finished) = mpsc::channel(QUEUE_CALLS_MAX);
        let spans = Arc::new(PerWorker::new(workers, Counters::default));
        let Tracing { sampling, trusts_callers, .. } = *settings;
        (Self { sampling, trusts_callers, calls, spans }, finished)
    }

    /// The trace of a call whose caller gives `given`, and whether it is sampled. `None` if it is of no
    /// trace.
    ///
    /// The ratio is a matter of chance here, and not of the trace id as often elsewhere: a stranger could
    /// choose ids that are always sampled.
    pub(super) fn begin(&self, given: Option<Trace>) -> Option<Trace> {
        match given {
            Some(trace) if self.trusts_callers => Some(trace),
            Some(trace) => Some(Trace { is_sampled: self.is_sampled(), ..trace }),
            None => self.is_sampled().then(|| Trace {
                // Never zero, which means no trace.
                trace_id: fastrand::u128(1..).to_be_bytes(),
                parent_id: [0; 8],
                state: Box::default(),
                is_sampled: true,
            }),
        }
    }

    fn is_sampled(&self) -> bool {
        fastrand::f64() < self.sampling
    }

    /// Hands on a call that is sampled.
    pub(super) fn hand_on(&self, call: FinishedCall) {
        if self.calls.try_send(call).is_err() {
            self.count(SpanOutcome::Dropped, 1);
        }
    }

    /// Counts calls by what became of their spans.
    pub fn count(&self, outcome: SpanOutcome, calls: u64) {
        self.spans.here().of(outcome).add(calls);
    }

    /// Collects the metrics of `tracer`, which are zero without one.
    pub fn collect(tracer: Option<&Self>, scrape: &mut Scrape) {
        let none = PerWorker::new(0, Counters::default);
        let spans = tracer.map_or(&none, |tracer| &*tracer.spans);
        scrape.add(&SPANS, spans.samples(|spans| spans));
    }
}
