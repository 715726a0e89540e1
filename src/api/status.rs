//! Errors as callers see them: the one place that makes a `Status`.
//!
//! Every status has a `google.rpc.ErrorInfo`, whose metadata holds the changing parts of the
//! message. What a part of the machine said goes to the log and not to the caller.

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::token;
use super::v1::ErrorReason;
use crate::engine::{self, EdgesOf};
use crate::live::{self, CursorError};
use crate::storage;

const DOMAIN: &str = "whimbrel";
const REASON_PREFIX: &str = "ERROR_REASON_";

/// How long to wait after the server was too busy: a few batches of the log.
const BUSY_DELAY: Duration = Duration::from_millis(100);
/// How long to wait before connecting again to a server that stops: others need a moment to be
/// found, and this one to start.
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(1);
/// How long to wait for space on the disk, or a free stream: somebody has to act.
const SCARCE_DELAY: Duration = Duration::from_secs(10);

/// A status being put together.
struct Problem {
    code: Code,
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Problem {
    fn new(code: Code, reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    fn violation(mut self, field: &str) -> Self {
        self.details.add_bad_request_violation(field, self.message.clone());
        self.with("field", field)
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    fn quota(mut self, subject: impl Into<String>) -> Self {
        self.details.add_quota_failure_violation(subject, self.message.clone());
        self
    }

    fn into_status(mut self) -> Status {
        let name = self.reason.as_str_name();
        let reason = name.strip_prefix(REASON_PREFIX).unwrap_or(name);
        self.details.set_error_info(reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, self.message, self.details)
    }
}

/// A field that breaks its rule. `rule` says what it must be, `parts` are what changes in that.
pub(super) fn invalid_field(
    field: &str,
    rule: impl std::fmt::Display,
    parts: Vec<(&'static str, String)>,
) -> Status {
    let message = format!("{field} {rule}");
    let problem = Problem::new(Code::InvalidArgument, ErrorReason::InvalidField, message);
    parts
        .into_iter()
        .fold(problem.violation(field), |problem, (part, value)| problem.with(part, value))
        .into_status()
}

/// A cursor or page token that is not one.
pub(super) fn malformed_token(field: &str, error: &token::Error) -> Status {
    let reason = match error.kind {
        token::Kind::Cursor => ErrorReason::MalformedCursor,
        token::Kind::PageToken => ErrorReason::MalformedPageToken,
    };
    Problem::new(Code::InvalidArgument, reason, format!("{field} {error}"))
        .violation(field)
        .into_status()
}

/// A page token of another listing.
pub(super) fn page_token_mismatch(field: &str) -> Status {
    let message = format!(
        "{field} was handed out for another user or with other options: repeat those of the first \
         page, or leave it empty to start anew"
    );
    Problem::new(Code::InvalidArgument, ErrorReason::PageTokenMismatch, message)
        .violation(field)
        .into_status()
}

/// Bytes that are no message.
pub(super) fn malformed_message(what: &str) -> Status {
    let what = what.trim_end_matches('.');
    let message = format!("the request is not a valid Protobuf message of its type: {what}");
    Problem::new(Code::InvalidArgument, ErrorReason::MalformedMessage, message)
        .with("detail", what)
        .into_status()
}

/// The server takes no more calls at once.
pub(super) fn overloaded(calls_max: usize) -> Status {
    let message = format!(
        "the server is answering {calls_max} calls, and that is the most: try again in a moment"
    );
    Problem::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .with("calls_max", calls_max)
        .quota("calls")
        .retry_after(BUSY_DELAY)
        .into_status()
}

/// The server is stopping.
pub(super) fn draining() -> Status {
    Problem::new(Code::Unavailable, ErrorReason::Draining, "the server is stopping: connect again")
        .retry_after(DRAIN_DELAY)
        .into_status()
}

/// The call's time ran out.
pub(super) fn deadline_exceeded() -> Status {
    let message = "the call's time ran out, so a change may or may not have been made: try again \
                   with the same request_id and more time";
    Problem::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message).into_status()
}

/// The most that is repeated of what a caller sent: a status travels in headers, which are bounded.
const REPEATED_CHARS_MAX: usize = 64;

/// A request whose frames are not those of its RPC.
pub(super) fn malformed_request(what: &str) -> Status {
    Problem::new(Code::InvalidArgument, ErrorReason::MalformedMessage, what)
        .with("detail", what)
        .into_status()
}

/// A message with more bytes than are taken, as it came or once it is unpacked.
pub(super) fn message_too_large(bytes_max: usize) -> Status {
    let message =
        format!("the request message is larger than {bytes_max} bytes: send less at once");
    Problem::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge, message)
        .with("bytes_max", bytes_max)
        .quota("message")
        .into_status()
}

/// A header that breaks its rule.
pub(super) fn invalid_metadata(header: &str, rule: &str) -> Status {
    let message = format!("the header {header} {rule}");
    Problem::new(Code::InvalidArgument, ErrorReason::InvalidMetadata, message)
        .with("header", header)
        .into_status()
}

/// A compression that is not known here.
pub(super) fn unsupported_encoding(encoding: &str) -> Status {
    let encoding = repeated(encoding);
    let message = format!(
        "not supported here: messages compressed with {encoding:?}; use gzip, or no compression"
    );
    let problem = Problem::new(Code::Unimplemented, ErrorReason::Unsupported, message);
    let mut status = problem.with("detail", encoding).into_status();
    // The specification wants to have said what would do.
    let accepted = MetadataValue::from_static("identity,gzip");
    status.metadata_mut().insert("grpc-accept-encoding", accepted);
    status
}

/// Messages in another format than Protobuf's.
pub(super) fn unsupported_format(format: &str) -> Status {
    let format = repeated(format);
    let message = format!(
        "not supported here: messages in the format {format:?}; use application/grpc, which means \
         Protobuf"
    );
    Problem::new(Code::Unimplemented, ErrorReason::Unsupported, message)
        .with("detail", format)
        .into_status()
}

/// Health is asked for a service that is not here.
pub(super) fn service_not_found(service: &str) -> Status {
    let service = repeated(service);
    let message = format!("there is no service {service:?} here: reflection lists what there is");
    Problem::new(Code::NotFound, ErrorReason::ServiceNotFound, message)
        .with("service", service)
        .into_status()
}

/// An answer cannot be written as bytes.
pub(super) fn unencodable(error: &prost::EncodeError) -> Status {
    tracing::error!(%error, "an answer was not encoded");
    let message = "the server failed to encode its answer: its log says more";
    Problem::new(Code::Internal, ErrorReason::Internal, message).into_status()
}

/// What the transport refused by itself, in the same dress as everything else.
pub(super) fn dressed(said: Status) -> Status {
    if !said.details().is_empty() {
        return said;
    }
    match said.code() {
        Code::Unimplemented => {
            let message = "there is no such service or RPC here: reflection lists what there is";
            Problem::new(Code::Unimplemented, ErrorReason::Unsupported, message)
                .with("detail", repeated(said.message()))
                .into_status()
        }
        // A library's word for bytes that are no message.
        Code::Internal => malformed_message(said.message()),
        code => Problem::new(code, ErrorReason::Internal, said.message()).into_status(),
    }
}

/// `text`, or its beginning if it is long.
fn repeated(text: &str) -> String {
    match text.char_indices().nth(REPEATED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What the engine refused to do to the user whom `field` names, or where it failed.
pub(super) fn of_engine_on(field: &str, error: engine::Error) -> Status {
    match error {
        engine::Error::SelfTarget { user } => {
            let message = format!("{field} must name somebody else than user_id: both are {user}");
            Problem::new(Code::InvalidArgument, ErrorReason::SelfTarget, message)
                .violation(field)
                .with("user_id", user)
                .into_status()
        }
        error => of_engine(error),
    }
}

/// What the engine refused, or where it failed.
pub(super) fn of_engine(error: engine::Error) -> Status {
    use engine::Error;

    let said = error.to_string();
    let problem = match error {
        Error::SelfFollow { user } => {
            Problem::new(Code::InvalidArgument, ErrorReason::SelfFollow, said)
                .violation("followee_id")
                .with("user_id", user)
        }
        Error::TooMany { user, of, max } => {
            Problem::new(Code::ResourceExhausted, too_many(of), said)
                .quota(format!("user:{user}"))
                .with("user_id", user)
                .with(&format!("{of}_max"), max)
        }
        Error::TooManyUsers { max } => {
            Problem::new(Code::ResourceExhausted, ErrorReason::TooManyUsers, said)
                .quota("users")
                .with("users_max", max)
        }
        Error::SelfTarget { user } => {
            Problem::new(Code::InvalidArgument, ErrorReason::SelfTarget, said)
                .violation("user_id")
                .with("user_id", user)
        }
        Error::Blocked { user, other } => {
            Problem::new(Code::FailedPrecondition, ErrorReason::Blocked, said)
                .with("user_id", user)
                .with("other_id", other)
        }
        Error::PostNotFound { post } => {
            Problem::new(Code::NotFound, ErrorReason::PostNotFound, said).with("post_id", post)
        }
        Error::PostDeleted { author, request_id } => {
            Problem::new(Code::NotFound, ErrorReason::PostDeleted, said)
                .with("author_id", author)
                .with("request_id", request_id.as_str())
        }
        Error::NotTheAuthor { user, post } => {
            Problem::new(Code::PermissionDenied, ErrorReason::NotTheAuthor, said)
                .with("user_id", user)
                .with("post_id", post)
        }
        Error::RequestIdReused { author, request_id } => {
            Problem::new(Code::AlreadyExists, ErrorReason::RequestIdReused, said)
                .with("author_id", author)
                .with("request_id", request_id.as_str())
        }
        Error::Overloaded => Problem::new(Code::ResourceExhausted, ErrorReason::Overloaded, said)
            .quota("changes")
            .retry_after(BUSY_DELAY),
        Error::NoTime => Problem::new(Code::Unavailable, ErrorReason::ClockOutOfRange, said)
            .retry_after(SCARCE_DELAY),
        Error::DiskFull => Problem::new(Code::ResourceExhausted, ErrorReason::DiskFull, said)
            .quota("disk")
            .retry_after(SCARCE_DELAY),
        Error::Stopping => return draining(),
        Error::OutcomeUnknown => Problem::new(Code::Unavailable, ErrorReason::OutcomeUnknown, said)
            .retry_after(DRAIN_DELAY),
        Error::NodeBehind { wanted, applied } => {
            Problem::new(Code::Unavailable, ErrorReason::NodeBehind, said)
                .with("wanted_revision", wanted)
                .with("applied_revision", applied)
                .retry_after(BUSY_DELAY)
        }
        Error::Live(error) => return of_hub(&error),
        Error::Abandoned => return deadline_exceeded(),
        Error::Log(storage::Error::IndexLost { .. }) => return index_lost(),
        Error::Missing { .. } | Error::Log(_) => return internal(&said),
    };
    problem.into_status()
}

fn too_many(of: EdgesOf) -> ErrorReason {
    match of {
        EdgesOf::Follows => ErrorReason::TooManyFollows,
        EdgesOf::Blocks => ErrorReason::TooManyBlocks,
        EdgesOf::Mutes => ErrorReason::TooManyMutes,
    }
}

/// Why a live feed is refused, or where it failed.
pub(super) fn of_hub(error: &live::Error) -> Status {
    let said = error.to_string();
    match error {
        live::Error::Cursor(error) => of_cursor(error),
        live::Error::TooManyStreamsOfUser { streams_max }
        | live::Error::TooManyStreams { streams_max } => {
            let of_user = matches!(error, live::Error::TooManyStreamsOfUser { .. });
            Problem::new(Code::ResourceExhausted, ErrorReason::TooManyStreams, said)
                .with("streams_max", streams_max)
                .with("scope", if of_user { "user" } else { "server" })
                .quota(if of_user { "user" } else { "server" })
                .retry_after(SCARCE_DELAY)
                .into_status()
        }
        live::Error::Log(storage::Error::IndexLost { .. }) => index_lost(),
        live::Error::Missing { .. } | live::Error::Log(_) => internal(&said),
    }
}

/// Why a cursor cannot be served.
pub(super) fn cursor_reason(error: &CursorError) -> ErrorReason {
    match error {
        CursorError::OfAnotherLog { .. } => ErrorReason::CursorOfAnotherLog,
        CursorError::BeyondHead { .. } => ErrorReason::CursorBeyondHead,
        CursorError::TooOld { .. } => ErrorReason::CursorTooOld,
    }
}

pub(super) fn of_cursor(error: &CursorError) -> Status {
    let reason = cursor_reason(error);
    let said = error.to_string();
    let problem = match error {
        CursorError::OfAnotherLog { given, own } => {
            Problem::new(Code::FailedPrecondition, reason, said)
                .with("cursor_log", given)
                .with("log", own)
        }
        CursorError::BeyondHead { given, head } => {
            Problem::new(Code::FailedPrecondition, reason, said)
                .with("cursor_revision", given)
                .with("head_revision", head)
        }
        CursorError::TooOld { oldest } => Problem::new(Code::OutOfRange, reason, said)
            .with("oldest_cursor", token::encode_cursor(oldest)),
    };
    problem.into_status()
}

/// What is asked for is in the index alone, which cannot be used for now.
fn index_lost() -> Status {
    let message = "the server is mending its index, and this needs what only the index has: try \
                   again in a moment (what was published lately can be read)";
    Problem::new(Code::Unavailable, ErrorReason::IndexLost, message)
        .retry_after(DRAIN_DELAY)
        .into_status()
}

fn internal(said: &str) -> Status {
    tracing::error!(error = said, "a call failed");
    let message = "the server failed to read its data: its log says more";
    Problem::new(Code::Internal, ErrorReason::Internal, message).into_status()
}
