//! Traced calls as OTLP has them: a span of each call, and one in it for each wait, by OpenTelemetry's
//! conventions for RPCs. Never sends anything.

use std::error::Error;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use tonic::Code;

use super::metrics::VERSION;
use crate::api::FinishedCall;
use crate::config::Tracing;
use crate::runtime::Clock;
use crate::runtime::call::{Trace, hex};
use crate::runtime::metrics::Label;

/// The flag of W3C: the span is kept.
const SAMPLED: u32 = 1;
/// The flags of OTLP: it is known whether the parent is in another process, and it is.
const PARENT_IS_ELSEWHERE: u32 = 0x300;
/// The same for a parent in this process.
const PARENT_IS_HERE: u32 = 0x100;

/// Whose spans they are.
#[derive(Debug)]
pub(super) struct Source(Resource);

impl Source {
    /// This process.
    pub(super) fn new(settings: &Tracing) -> Self {
        let attributes = vec![
            text("service.name", settings.service_name.clone()),
            text("service.version", VERSION),
            text("service.instance.id", instance_id()),
        ];
        Self(Resource { attributes, ..Default::default() })
    }
}

/// A random UUID, as the conventions want it.
fn instance_id() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    // Version 4, and the variant of RFC 9562.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]].map(hex).join("-")
}

/// The request that sends `calls`.
pub(super) fn request(
    source: &Source,
    calls: &[FinishedCall],
    clock: &Clock,
) -> ExportTraceServiceRequest {
    let times = Times { now: Instant::now(), since_epoch: clock.since_epoch().unwrap_or_default() };
    let spans = calls.iter().flat_map(|call| of_call(call, &times)).collect();
    let scope = InstrumentationScope {
        name: "whimbrel".to_owned(),
        version: VERSION.to_owned(),
        ..Default::default()
    };
    let spans = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
    let resource = Some(source.0.clone());
    let spans = ResourceSpans { resource, scope_spans: vec![spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

/// One moment, on the clock of the process and as a time of day.
struct Times {
    now: Instant,
    since_epoch: Duration,
}

impl Times {
    /// A moment before it, in nanoseconds since 1970.
    fn nanos(&self, at: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(at);
        // A clock before 1970 or after 2554 has no such times.
        let since_epoch = self.since_epoch.checked_sub(ago).unwrap_or_default();
        u64::try_from(since_epoch.as_nanos()).unwrap_or_default()
    }
}

/// The span of `call`, and those of its waits.
fn of_call(call: &FinishedCall, times: &Times) -> Vec<Span> {
    let Some(trace) = call.context.trace() else {
        unreachable!("a call that is traced has a trace");
    };
    let ended_at = call.context.live_at().unwrap_or(call.ended_at);
    let of_caller = Some(trace.parent_id).filter(|id| *id != [0; 8]);
    let kind = SpanKind::Server as i32;
    let span = Span {
        parent_span_id: of_caller.map(Vec::from).unwrap_or_default(),
        // Not in its waits as well: a caller could make each of them large.
        trace_state: trace.state.to_string(),
        flags: SAMPLED | PARENT_IS_ELSEWHERE,
        attributes: attributes(call),
        status: status(call),
        ..span(trace, call.rpc, kind, (times.nanos(call.begun_at), times.nanos(ended_at)))
    };
    let waits = call.context.kept_waits().into_iter().map(|wait| {
        let (kind, at) = (SpanKind::Internal as i32, (wait.began_at, wait.ended_at));
        Span {
            parent_span_id: span.span_id.clone(),
            flags: SAMPLED | PARENT_IS_HERE,
            ..self::span(trace, wait.wait.name(), kind, (times.nanos(at.0), times.nanos(at.1)))
        }
    });
    let waits: Vec<_> = waits.collect();
    std::iter::once(span).chain(waits).collect()
}

fn span(trace: &Trace, name: &str, kind: i32, (began, ended): (u64, u64)) -> Span {
    Span {
        trace_id: trace.trace_id.to_vec(),
        // Never zero, which means no span.
        span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: began,
        end_time_unix_nano: ended,
        ..Default::default()
    }
}

fn attributes(call: &FinishedCall) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("rpc.system", "grpc"),
        number("rpc.grpc.status_code", i64::from(call.code)),
        text("whimbrel.call_id", call.context.id()),
    ];
    if let Some((service, method)) = call.rpc.split_once('/') {
        attributes.extend([text("rpc.service", service), text("rpc.method", method)]);
    }
    if !call.reason.is_empty() {
        attributes.push(text("error.type", call.reason));
    }
    if let Some(caller) = call.context.caller() {
        attributes.push(text("whimbrel.caller", caller));
    }
    if let Some(peer) = call.peer {
        attributes.push(text("client.address", peer.to_string()));
    }
    attributes
}

/// An error is what is the server's fault, by the conventions.
fn status(call: &FinishedCall) -> Option<Status> {
    let is_error = matches!(
        Code::from(call.code),
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    is_error.then(|| Status { code: StatusCode::Error as i32, message: call.reason.to_owned() })
}

/// What an error of the transport says, with its causes.
pub(super) fn problem(error: &tonic::Status) -> String {
    let mut problem = format!("{:?}: {}", error.code(), error.message());
    let mut cause = error.source();
    while let Some(error) = cause {
        problem.push_str(&format!(": {error}"));
        cause = error.source();
    }
    problem
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}
