//! The flags about what is kept of single calls: lines of the log, and traces. Never opens a connection.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse_flag;
use crate::config::{CallLogSettings, Tracing};

/// Longest time after which a call may be called slow: an hour, which no call takes.
const SLOW_MS_MAX: u64 = 60 * 60 * 1_000;

/// What is kept of single calls.
#[derive(Args, Clone, Debug)]
pub(super) struct CallLogArgs {
    /// Log a line about each call that ends: who, what, with which result, how long.
    #[arg(long, env = "WHIMBREL_ACCESS_LOG", value_parser = parse_flag)]
    access_log: bool,
    /// Log calls that take as long until they are answered, and what they waited for: such as 1s or
    /// 250ms; 0 logs none.
    #[arg(long, env = "WHIMBREL_SLOW_CALL", default_value = "1s", value_name = "TIME",
          value_parser = parse_slow_call)]
    slow_call: SlowCall,
    /// Send traces of calls to an OpenTelemetry collector, by OTLP over gRPC: such as
    /// http://127.0.0.1:4317, or https://.
    #[arg(long, env = "WHIMBREL_OTLP_ENDPOINT", value_name = "URL", value_parser = parse_endpoint)]
    otlp_endpoint: Option<String>,
    /// PEM file with the authorities of the collector [default: those of the system].
    #[arg(long, env = "WHIMBREL_OTLP_CA_FILE", value_name = "FILE")]
    otlp_ca_file: Option<PathBuf>,
    /// File with headers that the collector wants, such as `authorization: Bearer …`, one on each line.
    #[arg(long, env = "WHIMBREL_OTLP_HEADERS_FILE", value_name = "FILE")]
    otlp_headers_file: Option<PathBuf>,
    /// The name of this service in traces.
    #[arg(
        long,
        env = "WHIMBREL_OTLP_SERVICE_NAME",
        default_value = "whimbrel",
        value_name = "NAME"
    )]
    otlp_service_name: String,
    /// The part of calls that are traced, from 0 to 1.
    #[arg(long, env = "WHIMBREL_TRACE_SAMPLING", default_value = "0.01", value_name = "RATIO",
          value_parser = parse_ratio)]
    trace_sampling: f64,
    /// Let callers decide which of their calls are traced, by the header traceparent. Only for
    /// callers that are trusted: a stranger could have all of theirs traced.
    #[arg(long, env = "WHIMBREL_TRACE_CALLERS_DECIDE", value_parser = parse_flag)]
    trace_callers_decide: bool,
}

/// A time; zero for never.
#[derive(Clone, Copy, Debug)]
struct SlowCall(Duration);

impl CallLogArgs {
    pub(super) fn settings(&self) -> CallLogSettings {
        CallLogSettings { access: self.access_log, slow_time: self.slow_call.0 }
    }

    /// `None` if no traces are sent.
    pub(super) fn tracing(&self) -> Option<Tracing> {
        Some(Tracing {
            endpoint: self.otlp_endpoint.clone()?,
            authorities: self.otlp_ca_file.clone(),
            headers: self.otlp_headers_file.clone(),
            service_name: self.otlp_service_name.clone(),
            sampling: self.trace_sampling,
            trusts_callers: self.trace_callers_decide,
        })
    }
}

fn parse_slow_call(text: &str) -> Result<SlowCall, String> {
    let number = |digits: &str| digits.parse::<u64>().ok();
    let ms = match (text, text.strip_suffix("ms"), text.strip_suffix('s')) {
        ("0", _, _) => Some(0),
        (_, Some(ms), _) => number(ms),
        (_, None, Some(seconds)) => number(seconds).and_then(|seconds| seconds.checked_mul(1_000)),
        _ => None,
    };
    match ms.filter(|ms| *ms <= SLOW_MS_MAX) {
        Some(ms) => Ok(SlowCall(Duration::from_millis(ms))),
        None => Err("give a time of an hour at most, such as 1s or 250ms; or 0".to_owned()),
    }
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let checked = Tracing::check_endpoint(text).map(|()| text.to_owned());
    checked.map_err(|why| format!("{why}: give a URL such as http://127.0.0.1:4317"))
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("give a number from 0 to 1, such as 0.01 for one call of a hundred".to_owned()),
    }
}
