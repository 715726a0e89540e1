//! What is kept of each call, and where it goes when the call has ended: counters, the access log, the log of
//! slow calls, and its span. Never has a token, a text or the name of a user.
//!
//! ```text
//!   headers ──▶ OpenCall ──▶ answered: slow? ──▶ ended, or dropped ──▶ metrics, access line, span
//! ```
//!
//! A stream is answered when it is opened, and its span ends when it is live.

mod id;
mod lines;
mod trace_context;
mod tracer;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request};
use lines::SlowCalls;
use tonic::{Code, Status};
pub use tracer::{FinishedCall, SpanOutcome, Tracer};

use super::metrics::{ApiMetrics, CountedCall};
use super::{Peer, head, status};
use crate::config::CallLogSettings;
use crate::runtime::CallContext;
use crate::runtime::call::Trace;

/// The reason of a request that is no call, and so gets no status.
const NOT_A_CALL: &str = "NOT_A_CALL";

/// Keeps what is known of calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallLog(Arc<CallLogState>);

#[derive(Debug)]
struct CallLogState {
    metrics: ApiMetrics,
    has_access_lines: AtomicBool,
    /// In milliseconds; 0 if no call is slow.
    slow_ms: AtomicU64,
    slow_calls: SlowCalls,
    tracer: Option<Tracer>,
}

/// A call that has begun. It ends once: with its status or, when this is dropped, because its client
/// has gone.
#[derive(Debug)]
pub(super) struct OpenCall {
    log: CallLog,
    counted: CountedCall,
    context: Arc<CallContext>,
    peer: Option<IpAddr>,
    begun_at: Instant,
    is_stream: bool,
    is_answered: bool,
    has_ended: bool,
    /// Whether its span is still to be handed on.
    has_span: bool,
    sent_bytes: u64,
}

impl CallLog {
    /// Counts in `metrics`, and hands spans to `tracer`.
    #[must_use]
    pub fn new(metrics: ApiMetrics, settings: &CallLogSettings, tracer: Option<Tracer>) -> Self {
        let log = Self(Arc::new(CallLogState {
            metrics,
            has_access_lines: AtomicBool::default(),
            slow_ms: AtomicU64::default(),
            slow_calls: SlowCalls::default(),
            tracer,
        }));
        log.set(settings);
        log
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: &CallLogSettings) {
        self.0.has_access_lines.store(settings.access, Ordering::Relaxed);
        // Who embeds the server may give any time, such as one that never comes.
        let slow_ms = u64::try_from(settings.slow_time.as_millis()).unwrap_or(u64::MAX);
        self.0.slow_ms.store(slow_ms, Ordering::Relaxed);
    }

    /// A call begins.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> OpenCall {
        let (headers, path) = (request.headers(), request.uri().path());
        let tracer = self.0.tracer.as_ref();
        let trace = trace_context::of(headers);
        let trace = match tracer {
            Some(tracer) => tracer.begin(trace),
            // It is still in the lines about the call, but nobody wants its spans.
            None => trace.map(|trace| Trace { is_sampled: false, ..trace }),
        };
        let has_span = trace.as_ref().is_some_and(|trace| trace.is_sampled);
        OpenCall {
            counted: self.0.metrics.begin(path),
            context: Arc::new(CallContext::new(id::of(headers), trace)),
            peer: request.extensions().get::<Peer>().map(|peer| peer.address),
            log: self.clone(),
            begun_at: Instant::now(),
            is_stream: head::is_stream(path),
            is_answered: false,
            has_ended: false,
            has_span,
            sent_bytes: 0,
        }
    }

    /// From which time on a call is slow.
    fn slow_time(&self) -> Option<Duration> {
        match self.0.slow_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }
}

/// Gives `request`, which another node is to answer in the place of this one, the id of `call`.
pub(super) fn pass_on<M>(call: &CallContext, request: &mut tonic::Request<M>) {
    if let Ok(id) = call.id().parse() {
        request.metadata_mut().insert(id::NAME, id);
    }
}

impl OpenCall {
    /// What other parts of the server know of it.
    pub(super) fn context(&self) -> &Arc<CallContext> {
        &self.context
    }

    /// Whether its answer is a stream.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The answer is there, with these `headers`, which get the id. Ends the call if they have its status.
    pub(super) fn answered(&mut self, headers: &mut HeaderMap) {
        let time = self.begun_at.elapsed();
        self.is_answered = true;
        self.counted.answered(time);
        self.check_slow(time);
        if headers.contains_key(Status::GRPC_STATUS) {
            self.end(headers);
        }
        headers.insert(id::HEADER, id::header(self.context.id()));
    }

    /// A browser was answered that a page may make it.
    pub(super) fn permitted(&mut self) {
        self.ended(Code::Ok, "");
    }

    /// The answer is that this is no call.
    pub(super) fn refused(&mut self) {
        self.ended(Code::Unknown, NOT_A_CALL);
    }

    /// A part of the answer is on its way.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
        if self.has_span && self.is_stream && self.context.live_at().is_some() {
            self.hand_on(Code::Ok, "");
        }
    }

    /// Ends the call with the status in its `headers` or trailers.
    pub(super) fn end(&mut self, headers: &HeaderMap) {
        if self.has_ended {
            return;
        }
        if headers.get(Status::GRPC_STATUS).is_some_and(|status| status == "0") {
            self.ended(Code::Ok, "");
            return;
        }
        let Some(status) = Status::from_header_map(headers) else { return };
        let name = status::reason(&status).map_or("", |reason| reason.as_str_name());
        self.ended(status.code(), name.trim_start_matches("ERROR_REASON_"));
    }

    fn ended(&mut self, code: Code, reason: &'static str) {
        assert!(!self.has_ended, "a call ends once");
        self.has_ended = true;
        self.counted.ended(code, reason);
        if !self.is_answered {
            self.check_slow(self.begun_at.elapsed());
        }
        if self.log.0.has_access_lines.load(Ordering::Relaxed) {
            lines::access(self, code, reason);
        }
        if self.has_span {
            self.hand_on(code, reason);
        }
    }

    fn check_slow(&self, time: Duration) {
        if self.log.slow_time().is_some_and(|slow| time >= slow) {
            self.log.0.slow_calls.add(self, time);
        }
    }

    /// Hands the span to the tracer.
    fn hand_on(&mut self, code: Code, reason: &'static str) {
        self.has_span = false;
        let Some(tracer) = &self.log.0.tracer else {
            unreachable!("only a tracer makes spans");
        };
        tracer.hand_on(FinishedCall {
            rpc: self.counted.rpc(),
            context: Arc::clone(&self.context),
            peer: self.peer,
            begun_at: self.begun_at,
            ended_at: Instant::now(),
            code: code as i32,
            reason,
        });
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if !self.has_ended {
            self.ended(Code::Cancelled, "");
        }
    }
}
