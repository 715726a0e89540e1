//! What the admin listener answers. Never reads the body of a request.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use crate::runtime::CriticalThreads;
use crate::runtime::metrics::{Format, encode};
use crate::server::metrics::{REVISION, ServerMetrics, VERSION};

/// Why the server takes no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum NotReady {
    #[error("the server starts: it reads its data")]
    Starting,
    #[error("the index is lost, and is being repaired: older entries cannot be read meanwhile")]
    IndexLost,
    #[error("the server stops")]
    Stopping,
}

/// Why the process should be ended and started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum NotAlive {
    #[error("worker {worker} has not run for {} s", silence.as_secs())]
    Silent { worker: usize, silence: Duration },
    #[error("{0}")]
    Failed(String),
}

/// What the answers are made of.
#[derive(Debug)]
pub(super) struct AdminStatus {
    pub(super) problem: Mutex<Option<NotReady>>,
    pub(super) metrics: ServerMetrics,
    pub(super) critical: CriticalThreads,
    pub(super) silence_max: Duration,
}

const TEXT: &str = "text/plain; charset=utf-8";
const PATHS: &str = "there are /metrics, /livez, /readyz and /version";

impl AdminStatus {
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        let path = request.uri().path();
        if !["/metrics", "/livez", "/readyz", "/version"].contains(&path) {
            return answer(StatusCode::NOT_FOUND, TEXT, format!("no such page: {PATHS}\n"));
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut refused = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                format!("{path} can only be read, by GET or HEAD\n"),
            );
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/livez" => probe(self.not_alive()),
            "/readyz" => probe(*self.problem.lock().unwrap_or_else(PoisonError::into_inner)),
            "/version" => {
                let mut version = json!({ "version": VERSION });
                if !REVISION.is_empty() {
                    version["revision"] = json!(REVISION);
                }
                answer(StatusCode::OK, "application/json", format!("{version}\n"))
            }
            _ => self.metrics(request.headers().get(ACCEPT)),
        }
    }

    fn metrics(&self, accept: Option<&HeaderValue>) -> Response<String> {
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let format = Format::accepted(accept);
        match encode(self.metrics.scrape(), format) {
            Ok(text) => answer(StatusCode::OK, format.content_type(), text),
            Err(fmt::Error) => {
                let why = "the metrics cannot be written\n".to_owned();
                answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, why)
            }
        }
    }

    fn not_alive(&self) -> Option<NotAlive> {
        if let Some(failure) = self.critical.failure() {
            return Some(NotAlive::Failed(failure.to_string()));
        }
        let silences = self.metrics.pulse().silences();
        let longest = (1..).zip(silences).max_by_key(|(_, silence)| *silence);
        let (worker, silence) = longest.filter(|(_, silence)| *silence > self.silence_max)?;
        Some(NotAlive::Silent { worker, silence })
    }
}

fn probe(problem: Option<impl fmt::Display>) -> Response<String> {
    match problem {
        None => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
        Some(problem) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{problem}\n")),
    }
}

fn answer(code: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
