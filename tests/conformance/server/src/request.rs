//! A request of the suite, and what the suite wants to be told of it. Never checks a request: what comes here was
//! checked by the layers that are under test.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::request::Parts;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use prost::{Message, Name};
use prost_types::Any;
use tonic::Status;
use tonic::body::Body;

use crate::v1::Header;
use crate::v1::conformance_payload::{ConnectGetInfo, RequestInfo};

/// A flag, and a length of four bytes.
const PREFIX_BYTES: usize = 5;

/// A request with its only message.
pub struct Request<M> {
    pub message: M,
    pub info: RequestInfo,
    /// How long the call may take.
    pub timeout: Option<Duration>,
}

impl<M: Message + Name + Default> Request<M> {
    /// Reads the request.
    ///
    /// # Errors
    /// The layers refuse its body.
    pub async fn read(request: http::Request<Body>) -> Result<Self, Status> {
        let (head, body) = request.into_parts();
        let mut bytes: Bytes = body.collect().await?.to_bytes();
        if bytes.len() < PREFIX_BYTES {
            return Err(Status::internal("a request came without a message"));
        }
        bytes.advance(PREFIX_BYTES);
        let message =
            M::decode(bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let timeout = timeout(&head.headers);
        let info = RequestInfo {
            request_headers: headers(&head.headers),
            timeout_ms: timeout.and_then(|timeout| i64::try_from(timeout.as_millis()).ok()),
            requests: vec![any(&message)?],
            connect_get_info: query(&head),
        };
        Ok(Self { message, info, timeout })
    }
}

/// A message with its type.
///
/// # Errors
/// It cannot be encoded.
pub fn any<M: Message + Name>(message: &M) -> Result<Any, Status> {
    Any::from_msg(message).map_err(|error| Status::internal(error.to_string()))
}

fn headers(headers: &HeaderMap) -> Vec<Header> {
    let values = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    headers.keys().map(|name| Header { name: name.to_string(), value: values(name) }).collect()
}

/// The time of `grpc-timeout`, which calls have in any protocol here.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The parameters of a GET.
fn query(head: &Parts) -> Option<ConnectGetInfo> {
    let text =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let params = pairs.map(|(name, value)| Header { name: text(name), value: vec![text(value)] });
    Some(ConnectGetInfo { query_params: params.collect() })
}
