//! Errors as Connect writes them: JSON, and a status of HTTP
//! (<https://connectrpc.com/docs/protocol#error-codes>). Never decides that something is an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::StatusCode;
use prost::Message;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::api::proto_json::{JsonMessage, MessageType};

/// The status of HTTP and the name of a code.
pub(super) fn of_code(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Ok => (StatusCode::OK, "ok"),
        // Nginx' own: the client has gone.
        Code::Cancelled => (client_closed(), "canceled"),
        Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "unknown"),
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "invalid_argument"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
        Code::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
        Code::FailedPrecondition => (StatusCode::BAD_REQUEST, "failed_precondition"),
        Code::Aborted => (StatusCode::CONFLICT, "aborted"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "out_of_range"),
        Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "unimplemented"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Code::DataLoss => (StatusCode::INTERNAL_SERVER_ERROR, "data_loss"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
    }
}

fn client_closed() -> StatusCode {
    match StatusCode::from_u16(499) {
        Ok(code) => code,
        Err(_) => unreachable!("it has three digits"),
    }
}

/// An error, with its details.
#[derive(Debug, Serialize)]
pub(super) struct ConnectError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<ErrorDetail>,
}

#[derive(Debug, Serialize)]
struct ErrorDetail {
    #[serde(rename = "type")]
    name: String,
    /// The encoded message.
    value: String,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<JsonMessage>,
}

impl ConnectError {
    /// One of a request that is no call.
    pub(super) fn without_details(code: Code, message: &str) -> Self {
        let (_, code) = of_code(code);
        Self { code, message: message.to_owned(), details: Vec::new() }
    }
}

impl From<&Status> for ConnectError {
    fn from(error: &Status) -> Self {
        let (_, code) = of_code(error.code());
        let details = pb::Status::decode(error.details()).unwrap_or_default().details;
        let details = details.iter().map(|it| ErrorDetail::new(&it.type_url, &it.value));
        Self { code, message: error.message().to_owned(), details: details.collect() }
    }
}

impl ErrorDetail {
    fn new(type_url: &str, bytes: &[u8]) -> Self {
        // The name is what follows the last slash, whatever is before it.
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let message = MessageType::named(name);
        Self {
            name: name.to_owned(),
            value: STANDARD_NO_PAD.encode(bytes),
            debug: message.and_then(|message| message.decode(bytes).ok()),
        }
    }
}
