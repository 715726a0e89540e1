//! Streams as server-sent events, for a browser's own `EventSource`
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). It connects again by itself, with the id of
//! the last event, which is a cursor: so it misses nothing and gets nothing twice. Never keeps a stream open
//! itself.
//!
//! ```text
//!   GET /v1/feeds/alice/events?snapshot=20 ──▶ GET /whimbrel.v1.FeedService/WatchFeed?message=…
//! ```

use bytes::BytesMut;
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use prost::encoding::string;
use serde_json::{Map, Value, json};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::answer::{json_of, remove_grpc, take_message};
use super::connect_error::{self, ConnectError};
use crate::api::proto_json::MessageType;
use crate::api::{head, status};

/// The short paths, before and after the user, and what they stand for.
const PATHS: [(&str, &str, &str); 2] = [
    ("/v1/feeds/", "/events", "/whimbrel.v1.FeedService/WatchFeed"),
    ("/v1/notifications/", "/events", "/whimbrel.v1.NotificationService/WatchNotifications"),
];
/// The header with the id of the last event that a browser has.
const LAST_EVENT_ID: &str = "last-event-id";
/// The field `after_cursor` of the requests of all streams.
const AFTER_CURSOR_TAG: u32 = 2;
/// The cookie with a token, for a browser's own `EventSource`, which sends no headers of a page's choice.
const COOKIE_NAME: &str = "whimbrel_token";
/// Says whose page makes a request; no page can set it.
const FETCH_SITE: &str = "sec-fetch-site";
/// How long a browser waits before it connects again, unless an error says more.
const RETRY_MS: u128 = 1_000;
/// Has proxies hand on each event at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Replaces a short path by the call that it stands for.
pub(in crate::api) fn lengthen<B>(request: &mut Request<B>) {
    if request.method() != Method::GET {
        return;
    }
    let path = request.uri().path();
    let known = PATHS.iter().find_map(|(before, after, rpc)| {
        let user = path.strip_prefix(before)?.strip_suffix(after)?;
        (!user.contains('/')).then_some((user, rpc))
    });
    let Some((user, rpc)) = known else { return };
    let message = message(user, request.uri().query().unwrap_or_default()).to_string();
    let message = utf8_percent_encode(&message, NON_ALPHANUMERIC);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    // It is as long as what it replaces, three times at most, and that is within the limit of headers.
    parts.path_and_query = format!("{rpc}?encoding=json&message={message}").parse().ok();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// The request of a stream, by the parameters of a short path. Their names are those of the fields.
fn message(user: &str, query: &str) -> Value {
    let text =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let mut fields = Map::new();
    // A browser whose cursor cannot be served learns so by an event, and goes on.
    fields.insert("gap_policy".to_owned(), "GAP_POLICY_RESET".into());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (text(name), text(value));
        let value = match name.as_str() {
            "snapshot" => json!({ "limit": value }),
            "include_all_replies" => value.parse().map_or_else(|_| value.into(), Value::Bool),
            _ => value.into(),
        };
        fields.insert(name, value);
    }
    // Whatever the parameters say: it is the user of the path.
    fields.insert("user_id".to_owned(), percent_decode_str(user).decode_utf8_lossy().into());
    Value::Object(fields)
}

/// The field of a request that has its stream begin after the last event that the browser has; nothing without
/// one.
///
/// # Errors
/// The header is no text, or there more than once.
pub(super) fn begin_after(headers: &HeaderMap) -> Result<Vec<u8>, Status> {
    let mut field = Vec::new();
    let Some(id) = head::single_value(headers, LAST_EVENT_ID)? else { return Ok(field) };
    let refused = |_| status::invalid_metadata(LAST_EVENT_ID, "must be a cursor");
    let cursor = id.to_str().map_err(refused)?.to_owned();
    // Of two values of a field the last one counts.
    if !cursor.is_empty() {
        string::encode(AFTER_CURSOR_TAG, &cursor, &mut field);
    }
    Ok(field)
}

/// Has the token in a cookie be that of the call. A browser sends cookies whoever's page makes the request, so it
/// counts only for the server's own pages, and for those whose origin was checked. What it is for changes nothing.
pub(super) fn take_cookie(headers: &mut HeaderMap) {
    let is_own = headers.get(FETCH_SITE).is_some_and(|site| site == "same-origin");
    if headers.contains_key(AUTHORIZATION) || !(is_own || headers.contains_key(ORIGIN)) {
        return;
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
    let token = pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, token)| token.trim());
    let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

/// The events of one stream.
#[derive(Debug)]
pub(super) struct EventEncoder {
    message: MessageType,
    /// Frames of gRPC that are not whole.
    frames: BytesMut,
    has_begun: bool,
}

impl EventEncoder {
    /// Of a stream of such messages.
    pub(super) fn new(message: MessageType) -> Self {
        Self { message, frames: BytesMut::new(), has_begun: false }
    }

    /// The events in the next bytes of the stream.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Status> {
        self.frames.extend_from_slice(bytes);
        let mut events = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            events.extend_from_slice(format!("retry: {RETRY_MS}\n\n").as_bytes());
        }
        while let Some(next) = take_message(&mut self.frames) {
            let decoded =
                self.message.decode(&next).map_err(|error| status::unencodable(&error))?;
            let value = serde_json::to_value(&decoded);
            let value = value.map_err(|error| status::unencodable(&error))?;
            events.extend_from_slice(event(&value).as_bytes());
        }
        Ok(events)
    }
}

/// A message of a stream as an event: its kind, its cursor and its content.
fn event(message: &Value) -> String {
    let of_kind = message.as_object().and_then(|kinds| kinds.iter().next());
    let Some((kind, content)) = of_kind else {
        // A kind without a field set.
        return String::new();
    };
    let id = match (kind.as_str(), content["cursor"].as_str()) {
        // What the browser has cannot be served: it must not ask for it again.
        ("reset", _) => "id\n".to_owned(),
        (_, Some(cursor)) => format!("id: {cursor}\n"),
        (_, None) => String::new(),
    };
    format!("event: {kind}\n{id}data: {content}\n\n")
}

/// The last event of a stream that fails. The browser waits as long as the error says.
pub(super) fn failure(error: &Status) -> Vec<u8> {
    let delay = error.get_details_retry_info().and_then(|info| info.retry_delay);
    let retry_ms = delay.map_or(RETRY_MS, |delay| delay.as_millis().max(RETRY_MS));
    let error = String::from_utf8(json_of(&ConnectError::from(error))).unwrap_or_default();
    format!("retry: {retry_ms}\nevent: failure\ndata: {error}\n\n").into_bytes()
}

/// The head of a stream of events, with the body of gRPC; or an error. A browser gives up at once on any
/// answer but this one, so what passes is said in it.
pub(super) fn answer(answer: Response<Body>) -> (Response<Body>, bool) {
    let (mut head, body) = answer.into_parts();
    let error = Status::from_header_map(&head.headers);
    remove_grpc(&mut head.headers);
    let media_type = "text/event-stream";
    let (mut answer, is_stream) = match error {
        None => (super::response(StatusCode::OK, media_type, Vec::new()).map(|_| body), true),
        Some(error) if passes(error.code()) => {
            (super::response(StatusCode::OK, media_type, failure(&error)), false)
        }
        Some(error) => {
            let (code, _) = connect_error::of_code(error.code());
            let text = json_of(&ConnectError::from(&error));
            (super::response(code, "application/json", text), false)
        }
    };
    answer.headers_mut().extend(head.headers);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    (answer, is_stream)
}

/// Whether the same request may succeed a little later.
fn passes(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}
