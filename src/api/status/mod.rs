//! The errors that callers receive: the one place that makes a `Status`.
//!
//! Every status has a `google.rpc.ErrorInfo`, whose metadata holds the variable parts of the
//! message. An error of the operating system goes to the log, and never to the caller.

mod admin;
mod callers;
mod overload;
mod positions;

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::post_id;
use super::v1::ErrorReason;
use crate::engine;
use crate::live;
use crate::model::{Epochs, PostId, RelationKind, UserId};
use crate::runtime::CallContext;
use crate::{query, storage};
pub(super) use admin::{from_index_check, from_segment};
pub(super) use callers::{from_end, from_refusal, quota_exceeded, reason_of_end};
pub(super) use overload::{
    answers_not_taken, overloaded, request_too_slow, too_busy_for_strangers, too_much_unfinished,
};
pub(super) use positions::{
    cursor_reason, from_cursor, malformed_token, page_token_mismatch, post_of_lost_history,
};

const DOMAIN: &str = "whimbrel";
const REASON_PREFIX: &str = "ERROR_REASON_";

/// Retry delay of an overloaded server: a few batches of the log.
const BUSY_DELAY: Duration = Duration::from_millis(100);
/// Retry delay of a stopping server: the client needs a moment to find another, or this one to
/// start again.
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(1);
/// Retry delay while workers are late: it takes some looks until they are not.
const OVERLOAD_DELAY: Duration = Duration::from_secs(1);
/// Retry delay without disk space or free streams: a person has to act first.
const SCARCE_DELAY: Duration = Duration::from_secs(10);

struct StatusBuilder {
    code: Code,
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl StatusBuilder {
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
        if let Some(call) = CallContext::current() {
            self.details.set_request_info(call.id(), "");
        }
        Status::with_error_details(self.code, self.message, self.details)
    }
}

/// A field breaks its rule. `rule` is the rest of the sentence after the field's name, and `parts`
/// are its variable parts.
pub(super) fn invalid_field(
    field: &str,
    rule: impl std::fmt::Display,
    parts: Vec<(&'static str, String)>,
) -> Status {
    let message = format!("{field} {rule}");
    let builder = StatusBuilder::new(Code::InvalidArgument, ErrorReason::InvalidField, message);
    parts
        .into_iter()
        .fold(builder.violation(field), |builder, (part, value)| builder.with(part, value))
        .into_status()
}

/// The bytes of a request are no message of its type.
pub(super) fn malformed_message(detail: &str) -> Status {
    let detail = detail.trim_end_matches('.');
    let message = format!("the request is not a valid Protobuf message of its type: {detail}");
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MalformedMessage, message)
        .with("detail", detail)
        .into_status()
}

/// The message of a request is no JSON of its type.
pub(super) fn malformed_json(message: &str, error: &serde_json::Error) -> Status {
    let detail = error.to_string();
    let message = format!("the request is not a valid {message} in JSON: {detail}");
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MalformedMessage, message)
        .with("detail", detail)
        .into_status()
}

/// The server is stopping.
pub(super) fn draining() -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::Draining,
        "the server is stopping: connect again",
    )
    .retry_after(DRAIN_DELAY)
    .into_status()
}

/// The call's time ran out before it was answered.
pub(super) fn deadline_exceeded() -> Status {
    let message = "the call's time ran out, so a change may or may not have been made: try again \
                   with the same request_id and more time";
    StatusBuilder::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message).into_status()
}

/// Longest quotation of a caller's text: a status is sent in headers, which have a limit.
const QUOTED_CHARS_MAX: usize = 64;

/// The frames of a request are invalid, or not those of its RPC.
pub(super) fn malformed_request(detail: &str) -> Status {
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MalformedMessage, detail)
        .with("detail", detail)
        .into_status()
}

/// A message exceeds the limit, as sent or after decompression.
pub(super) fn message_too_large(bytes_max: usize) -> Status {
    let message =
        format!("the request message is larger than {bytes_max} bytes: send less at once");
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge, message)
        .with("bytes_max", bytes_max)
        .quota("message")
        .into_status()
}

/// A header breaks its rule. `rule` is the rest of the sentence after the header's name.
pub(super) fn invalid_metadata(header: &str, rule: &str) -> Status {
    let message = format!("the header {header} {rule}");
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::InvalidMetadata, message)
        .with("header", header)
        .into_status()
}

/// The compression of a request is not supported.
pub(super) fn unsupported_compression(compression: &str) -> Status {
    let compression = quoted(compression);
    let message = format!(
        "not supported here: messages compressed with {compression:?}; use gzip, or no compression"
    );
    let builder = StatusBuilder::new(Code::Unimplemented, ErrorReason::Unsupported, message);
    let mut status = builder.with("detail", compression).into_status();
    // The specification demands the list of supported ones.
    let accepted = MetadataValue::from_static("identity,gzip");
    status.metadata_mut().insert("grpc-accept-encoding", accepted);
    status
}

/// The messages of a request are not Protobuf.
pub(super) fn unsupported_format(format: &str) -> Status {
    let format = quoted(format);
    let message = format!(
        "not supported here: messages in the format {format:?}; use application/grpc, which means \
         Protobuf"
    );
    StatusBuilder::new(Code::Unimplemented, ErrorReason::Unsupported, message)
        .with("detail", format)
        .into_status()
}

/// A health check names an unknown service.
pub(super) fn service_not_found(service: &str) -> Status {
    let service = quoted(service);
    let message = format!("there is no service {service:?} here: reflection lists the services");
    StatusBuilder::new(Code::NotFound, ErrorReason::ServiceNotFound, message)
        .with("service", service)
        .into_status()
}

/// A response cannot be encoded.
pub(super) fn unencodable(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "failed to encode a response");
    let message = "the server failed to encode its answer: its log says more";
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, message).into_status()
}

/// A status of the transport, with the details that all others have.
pub(super) fn with_details(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    match status.code() {
        Code::Unimplemented => no_such_rpc(status.message()),
        // The library's code for bytes that are no message.
        Code::Internal => malformed_message(status.message()),
        code => StatusBuilder::new(code, ErrorReason::Internal, status.message()).into_status(),
    }
}

/// There is no RPC that a call names. `detail` says which.
pub(super) fn no_such_rpc(detail: &str) -> Status {
    let message = "there is no such service or RPC here: reflection lists them";
    StatusBuilder::new(Code::Unimplemented, ErrorReason::Unsupported, message)
        .with("detail", quoted(detail))
        .into_status()
}

/// There is no RPC with this path that can be called by Connect.
pub(super) fn not_in_connect(path: &str) -> Status {
    let message = "there is no such call in Connect: reflection lists the services and RPCs, and itself, as it takes a \
                   stream of messages, needs HTTP/2 and Protobuf";
    StatusBuilder::new(Code::Unimplemented, ErrorReason::Unsupported, message)
        .with("detail", quoted(path))
        .into_status()
}

/// `text`, or its beginning if it is long.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A change was forwarded to another node, which has not answered.
pub(super) fn not_answered_by_node() -> Status {
    let message = "the node that decides changes has not answered, so this one may or may not have been made: try again \
                   with the same request_id";
    StatusBuilder::new(Code::Unavailable, ErrorReason::OutcomeUnknown, message)
        .retry_after(DRAIN_DELAY)
        .into_status()
}

/// The reason in a status that a node made; `None` of one that the way to it made.
pub(super) fn reason(status: &Status) -> Option<ErrorReason> {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorReason::from_str_name(&format!("{REASON_PREFIX}{}", info.reason))
}

/// An error of the engine in a call whose field `field` names another user.
pub(super) fn from_engine_on(field: &str, error: engine::Error, epochs: &Epochs) -> Status {
    match error {
        engine::Error::SelfTarget { user } => {
            let message = format!("{field} must name somebody else than user_id: both are {user}");
            self_reference(ErrorReason::SelfTarget, message, field, &user).into_status()
        }
        error => from_engine(error, epochs),
    }
}

/// An error of the engine: a refusal, or a failure.
pub(super) fn from_engine(error: engine::Error, epochs: &Epochs) -> Status {
    use engine::Error;

    let message = error.to_string();
    let new = |code, reason| StatusBuilder::new(code, reason, message.as_str());
    let builder = match error {
        Error::SelfFollow { user } => {
            self_reference(ErrorReason::SelfFollow, message, "followee_id", &user)
        }
        Error::SelfTarget { user } => {
            self_reference(ErrorReason::SelfTarget, message, "user_id", &user)
        }
        Error::TooMany { user, of, max } => new(Code::ResourceExhausted, too_many(of))
            .quota(format!("user:{user}"))
            .with("user_id", user)
            .with(&format!("{of}_max"), max),
        Error::TooManyUsers { max } => new(Code::ResourceExhausted, ErrorReason::TooManyUsers)
            .quota("users")
            .with("users_max", max),
        Error::Blocked { user, other } => blocked(message, &user, &other),
        Error::PostNotFound { post } => post_not_found(post, epochs),
        Error::PostDeleted { author, request_id } => new(Code::NotFound, ErrorReason::PostDeleted)
            .with("author_id", author)
            .with("request_id", request_id.as_str()),
        Error::NotTheAuthor { user, post } => {
            let post = post_id::text(post, epochs);
            let message = format!("{user} did not publish {post}: only its author can delete it");
            StatusBuilder::new(Code::PermissionDenied, ErrorReason::NotTheAuthor, message)
                .with("user_id", user)
                .with("post_id", post)
        }
        Error::RequestIdReused { author, request_id } => {
            new(Code::AlreadyExists, ErrorReason::RequestIdReused)
                .with("author_id", author)
                .with("request_id", request_id.as_str())
        }
        Error::Overloaded => new(Code::ResourceExhausted, ErrorReason::Overloaded)
            .quota("changes")
            .retry_after(BUSY_DELAY),
        Error::NoTime => {
            new(Code::Unavailable, ErrorReason::ClockOutOfRange).retry_after(SCARCE_DELAY)
        }
        Error::DiskFull => new(Code::ResourceExhausted, ErrorReason::DiskFull)
            .quota("disk")
            .retry_after(SCARCE_DELAY),
        Error::OutcomeUnknown => {
            new(Code::Unavailable, ErrorReason::OutcomeUnknown).retry_after(DRAIN_DELAY)
        }
        Error::Stopping => return draining(),
        Error::Read(error) => return from_query(error, epochs),
    };
    builder.into_status()
}

/// An error of a query: a refusal, or a failure.
pub(super) fn from_query(error: query::Error, epochs: &Epochs) -> Status {
    use query::Error;

    let message = error.to_string();
    let builder = match error {
        Error::Cursor(error) => return from_cursor(&error, epochs),
        Error::NodeBehind { wanted, applied } => {
            StatusBuilder::new(Code::Unavailable, ErrorReason::NodeBehind, message)
                .with("wanted_revision", wanted)
                .with("applied_revision", applied)
                .retry_after(BUSY_DELAY)
        }
        Error::AfterNewest { revision, newest } => {
            let parts = [("value", revision), ("newest_revision", newest)];
            let parts = parts.map(|(part, value)| (part, value.to_string()));
            let rule = format!("must be at most {newest}, the newest revision, not {revision}");
            return invalid_field("revision", rule, parts.into());
        }
        Error::Blocked { user, other } => blocked(message, &user, &other),
        Error::PostNotFound { post } => post_not_found(post, epochs),
        Error::TooManyWait { waiting_max } => overload::too_many_wait(message, waiting_max),
        Error::Abandoned => return deadline_exceeded(),
        Error::Missing(_) => return internal(&message),
        Error::Storage(error) => return of_storage(&error, &message),
    };
    builder.into_status()
}

fn of_storage(error: &storage::Error, message: &str) -> Status {
    match error {
        storage::Error::IndexLost { .. } => index_lost(),
        _ => internal(message),
    }
}

fn blocked(message: String, user: &UserId, other: &UserId) -> StatusBuilder {
    StatusBuilder::new(Code::FailedPrecondition, ErrorReason::Blocked, message)
        .with("user_id", user)
        .with("other_id", other)
}

fn post_not_found(post: PostId, epochs: &Epochs) -> StatusBuilder {
    let post = post_id::text(post, epochs);
    let message = format!("there is no post {post}: it never was, or it was deleted");
    StatusBuilder::new(Code::NotFound, ErrorReason::PostNotFound, message).with("post_id", post)
}

/// A user names themselves in `field`, where they must name another.
fn self_reference(
    reason: ErrorReason,
    message: String,
    field: &str,
    user: &UserId,
) -> StatusBuilder {
    StatusBuilder::new(Code::InvalidArgument, reason, message)
        .violation(field)
        .with("user_id", user)
}

/// # Panics
/// There is no limit of that kind.
fn too_many(of: RelationKind) -> ErrorReason {
    match of {
        RelationKind::Follow => ErrorReason::TooManyFollows,
        RelationKind::Block => ErrorReason::TooManyBlocks,
        RelationKind::Mute => ErrorReason::TooManyMutes,
        RelationKind::Like | RelationKind::Repost => {
            unreachable!("the number of relations of kind {of} has no limit")
        }
    }
}

/// An error of a live feed: a refusal, or a failure.
pub(super) fn from_live(error: live::Error, epochs: &Epochs) -> Status {
    let message = error.to_string();
    match error {
        live::Error::Cursor(error) => from_cursor(&error, epochs),
        live::Error::TooManyStreamsOfUser { streams_max }
        | live::Error::TooManyStreams { streams_max } => {
            let of_user = matches!(error, live::Error::TooManyStreamsOfUser { .. });
            StatusBuilder::new(Code::ResourceExhausted, ErrorReason::TooManyStreams, message)
                .with("streams_max", streams_max)
                .with("scope", if of_user { "user" } else { "server" })
                .quota(if of_user { "user" } else { "server" })
                .retry_after(SCARCE_DELAY)
                .into_status()
        }
        live::Error::Read(error) => from_query(error, epochs),
    }
}

/// The read needs the index, which cannot be used at the moment.
fn index_lost() -> Status {
    let message = "the server is repairing its index, which this read needs: try again in a moment \
                   (recent posts can be read)";
    StatusBuilder::new(Code::Unavailable, ErrorReason::IndexLost, message)
        .retry_after(DRAIN_DELAY)
        .into_status()
}

fn internal(error: &str) -> Status {
    tracing::error!(error, "a call failed");
    let message = "the server failed to read its data: its log says more";
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, message).into_status()
}
