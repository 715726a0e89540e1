//! The metrics of the API: calls by RPC and result, how long they take, how streams end, and the quotas
//! and limits that refuse. Never has a label that a client can choose.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::Code;

use super::Accounts;
use super::quotas::Quota;
use crate::auth::{IdentifyOutcome, access};
use crate::runtime::metrics::{
    Buckets, Counter, Counters, Histogram, Metric, MetricValue, PerWorker, Scrape, label,
};

const CALLS: Metric = Metric::counter(
    "whimbrel_calls_total",
    &["rpc", "code", "reason"],
    "Calls that have ended, by RPC, gRPC code, and reason of the error as in ErrorInfo",
);
const CALL_SECONDS: Metric = Metric::histogram(
    "whimbrel_call_duration_seconds",
    &["rpc"],
    "Time from the headers of a call to its answer, or to the beginning of its stream",
);
const IN_FLIGHT: Metric = Metric::gauge(
    "whimbrel_calls_in_flight",
    &["rpc"],
    "Calls that have begun and not ended, streams among them",
);
const SLOW: Metric = Metric::counter(
    "whimbrel_slow_calls_total",
    &["rpc"],
    "Calls that took longer than --slow-call until they were answered",
);
const STREAM_ENDS: Metric = Metric::counter(
    "whimbrel_streams_ended_total",
    &["by"],
    "Streams that have ended, by who or what ended them",
);
const QUOTA_REFUSALS: Metric = Metric::counter(
    "whimbrel_quota_refusals_total",
    &["quota"],
    "Calls that were refused because a quota was used up",
);
const CONNECTIONS_CLOSED_BY_LIMIT: Metric = Metric::counter(
    "whimbrel_connections_closed_by_limit_total",
    &["limit"],
    "Connections that were closed because of what they made the server hold, or did not take",
);

const AUTHENTICATIONS: Metric = Metric::counter(
    "whimbrel_authentications_total",
    &["outcome"],
    "Calls whose caller was asked for, by how they were found or why they were not",
);
const FORWARDS: Metric = Metric::counter(
    "whimbrel_forwarded_changes_total",
    &["outcome"],
    "Changes that were to be forwarded to the node that decides them, by what became of that",
);
const UNFINISHED: Metric = Metric::gauge(
    "whimbrel_unfinished_request_bytes",
    &[],
    "Bytes of requests that have not arrived whole",
);
const UNSENT: Metric = Metric::gauge(
    "whimbrel_unsent_answer_bytes",
    &[],
    "Bytes of answers and of messages of streams that clients have not taken",
);

/// What stands for RPCs that do not exist, and for those of reflection.
const OTHER: &str = "other";

label! {
    /// What ended a stream.
    pub(super) enum StreamEnd {
        Client = "client",
        /// The server stops, or the connection is old.
        Retirement = "retirement",
        /// Its token has expired, or its key is revoked.
        Caller = "caller",
        Failure = "failure",
    }
}

label! {
    /// Why a connection is closed that holds or does too much.
    pub(super) enum HoldLimit {
        Stalled = "stall_time_max",
        TakesTooLittle = "unsent_answer_bytes_per_connection_max",
        Largest = "all_connections_hold_too_much",
    }
}

/// The metrics of the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiMetrics(Arc<ApiCells>);

#[derive(Debug)]
struct ApiCells {
    /// The names of the RPCs by the place of their cells, and last what stands for others.
    rpcs: Vec<&'static str>,
    workers: PerWorker<WorkerCells>,
}

label! {
    /// What became of a change that was to be forwarded.
    pub(super) enum ForwardOutcome {
        /// The node that decides has answered.
        Answered = "answered",
        /// It has refused the change.
        Refused = "refused",
        /// It could not be reached, or this is it.
        DecidedHere = "decided_here",
        /// It has not answered.
        Unknown = "unknown",
    }
}

#[derive(Debug)]
struct WorkerCells {
    rpcs: Box<[RpcCells]>,
    /// By RPC, code and reason: all of them are of tables in the code, so there are not many. Only its
    /// worker and a scrape lock it.
    failed: Mutex<BTreeMap<(usize, i32, &'static str), u64>>,
    streams: Counters<StreamEnd>,
    quotas: Counters<Quota>,
    authentications: Counters<IdentifyOutcome>,
    limits: Counters<HoldLimit>,
    forwards: Counters<ForwardOutcome>,
}

#[derive(Debug)]
struct RpcCells {
    begun: Counter,
    succeeded: Counter,
    slow: Counter,
    seconds: Histogram,
}

/// A call that is counted as begun.
#[derive(Debug)]
pub(super) struct CountedCall {
    metrics: ApiMetrics,
    rpc: usize,
}

impl ApiMetrics {
    /// Nothing was called yet, by any of `workers`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let rpcs: Vec<_> = access::paths().chain([OTHER]).collect();
        let of_rpc = || RpcCells {
            begun: Counter::default(),
            succeeded: Counter::default(),
            slow: Counter::default(),
            seconds: Histogram::new(&Buckets::TIME),
        };
        let of_worker = || WorkerCells {
            rpcs: rpcs.iter().map(|_| of_rpc()).collect(),
            failed: Mutex::default(),
            streams: Counters::default(),
            quotas: Counters::default(),
            authentications: Counters::default(),
            limits: Counters::default(),
            forwards: Counters::default(),
        };
        let workers = PerWorker::new(workers, of_worker);
        Self(Arc::new(ApiCells { rpcs, workers }))
    }

    /// A call to `path` begins.
    pub(super) fn begin(&self, path: &str) -> CountedCall {
        let rpc = access::place(path).unwrap_or(self.0.rpcs.len() - 1);
        self.0.workers.here().rpcs[rpc].begun.increment();
        CountedCall { metrics: self.clone(), rpc }
    }

    /// A stream has ended.
    pub(super) fn stream_ended(&self, by: StreamEnd) {
        self.0.workers.here().streams.of(by).increment();
    }

    /// A call was refused because of `quota`.
    pub(super) fn quota_refused(&self, quota: Quota) {
        self.0.workers.here().quotas.of(quota).increment();
    }

    /// It was found out who makes a call, or not.
    pub(super) fn identified(&self, outcome: IdentifyOutcome) {
        self.0.workers.here().authentications.of(outcome).increment();
    }

    /// A change was forwarded to another node, or was to be.
    pub(super) fn forwarded(&self, outcome: ForwardOutcome) {
        self.0.workers.here().forwards.of(outcome).increment();
    }

    /// A connection is closed because of `limit`.
    pub(super) fn limit_closed(&self, limit: HoldLimit) {
        self.0.workers.here().limits.of(limit).increment();
    }

    /// Collects the metrics.
    pub fn collect(&self, scrape: &mut Scrape) {
        let ApiCells { rpcs, workers } = &*self.0;
        let mut failed = BTreeMap::<_, u64>::new();
        for worker in workers.all() {
            for (&key, count) in &*worker.failed.lock().unwrap_or_else(PoisonError::into_inner) {
                *failed.entry(key).or_default() += count;
            }
        }
        let mut calls = Vec::new();
        let mut in_flight = Vec::new();
        let (mut seconds, mut slow) = (Vec::new(), Vec::new());
        for (at, path) in rpcs.iter().enumerate() {
            let of = |worker: &WorkerCells| worker.rpcs[at].succeeded.get();
            // The ends before the begins, so that a call between the two is in flight, not missing.
            let succeeded: u64 = workers.all().map(of).sum();
            let failures = failed.range((at, i32::MIN, "")..(at + 1, i32::MIN, ""));
            let ended = succeeded + failures.clone().map(|(_, count)| count).sum::<u64>();
            let begun = workers.sum(|worker| &worker.rpcs[at].begun);
            let rpc = path.trim_start_matches('/').to_owned();
            calls.push((
                [rpc.clone(), "OK".to_owned(), String::new()],
                MetricValue::count(succeeded),
            ));
            for (&(_, code, reason), &count) in failures {
                let code = format!("{:?}", Code::from(code));
                calls.push(([rpc.clone(), code, reason.to_owned()], MetricValue::count(count)));
            }
            in_flight.push(([rpc.clone()], MetricValue::Number(begun as f64 - ended as f64)));
            let slow_calls = workers.sum(|worker| &worker.rpcs[at].slow);
            slow.push(([rpc.clone()], MetricValue::count(slow_calls)));
            seconds.push(([rpc], workers.histogram(|worker| &worker.rpcs[at].seconds)));
        }
        scrape.add(&CALLS, calls);
        scrape.add(&CALL_SECONDS, seconds);
        scrape.add(&IN_FLIGHT, in_flight);
        scrape.add(&SLOW, slow);
        scrape.add(&STREAM_ENDS, workers.samples(|worker| &worker.streams));
        scrape.add(&QUOTA_REFUSALS, workers.samples(|worker| &worker.quotas));
        scrape.add(&AUTHENTICATIONS, workers.samples(|worker| &worker.authentications));
        scrape.add(&FORWARDS, workers.samples(|worker| &worker.forwards));
        scrape.add(&CONNECTIONS_CLOSED_BY_LIMIT, workers.samples(|worker| &worker.limits));
    }
}

impl Accounts {
    /// Collects the bytes that clients make the server hold.
    pub fn collect(&self, scrape: &mut Scrape) {
        let (requests, answers) = self.held_bytes();
        scrape.count(&UNFINISHED, requests as u64);
        scrape.count(&UNSENT, answers as u64);
    }
}

impl CountedCall {
    /// Its RPC, as `package.Service/Method`.
    pub(super) fn rpc(&self) -> &'static str {
        self.metrics.0.rpcs[self.rpc].trim_start_matches('/')
    }

    /// Its answer was there after `time`.
    pub(super) fn answered(&self, time: Duration) {
        self.metrics.0.workers.here().rpcs[self.rpc].seconds.observe_time(time);
    }

    /// It took longer than calls should.
    pub(super) fn slow(&self) {
        self.metrics.0.workers.here().rpcs[self.rpc].slow.increment();
    }

    /// It has ended. Once for each.
    pub(super) fn ended(&self, code: Code, reason: &'static str) {
        let worker = self.metrics.0.workers.here();
        if code == Code::Ok {
            worker.rpcs[self.rpc].succeeded.increment();
            return;
        }
        let mut failed = worker.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed.entry((self.rpc, code as i32, reason)).or_default() += 1;
    }
}
