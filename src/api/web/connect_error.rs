//! Errors as Connect writes them: JSON, and a status of HTTP
//! (<https://connectrpc.com/docs/protocol#error-codes>). Never makes an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::StatusCode;
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::api::descriptors;

/// What type names are prefixed with in details.
const TYPE_PREFIX: &str = "type.googleapis.com/";

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

/// The error as JSON, with its details.
pub(super) fn json(error: &Status) -> Value {
    let (_, code) = of_code(error.code());
    let details = pb::Status::decode(error.details()).unwrap_or_default().details;
    let details: Vec<_> =
        details.iter().map(|detail| of_detail(&detail.type_url, &detail.value)).collect();
    let mut error = json!({ "code": code, "message": error.message() });
    if !details.is_empty() {
        error["details"] = Value::Array(details);
    }
    error
}

/// A detail, with its fields for people.
fn of_detail(type_url: &str, bytes: &[u8]) -> Value {
    let name = type_url.strip_prefix(TYPE_PREFIX).unwrap_or(type_url);
    let mut detail = json!({ "type": name, "value": STANDARD_NO_PAD.encode(bytes) });
    let decoded = descriptors::message(name).and_then(|it| DynamicMessage::decode(it, bytes).ok());
    if let Some(fields) = decoded.and_then(|decoded| serde_json::to_value(decoded).ok()) {
        detail["debug"] = fields;
    }
    detail
}
