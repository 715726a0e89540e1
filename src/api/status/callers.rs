//! The errors of callers that are not known, or may not make a call.

use std::time::Duration;

use tonic::{Code, Status};

use super::{BUSY_DELAY, StatusBuilder};
use crate::api::v1::ErrorReason;
use crate::auth::{EndCause, Refusal};

/// How a client is to authenticate (RFC 9110, section 11.6.1). gRPC clients do not need it; proxies
/// and people do.
const CHALLENGE: (&str, &str) = ("www-authenticate", "Bearer");

/// A refusal of a caller.
pub(in crate::api) fn from_refusal(refusal: Refusal) -> Status {
    let message = refusal.to_string();
    let new = |code, reason| StatusBuilder::new(code, reason, message.as_str());
    let invalid = || new(Code::Unauthenticated, ErrorReason::InvalidToken);
    let builder = match refusal {
        Refusal::NoToken => new(Code::Unauthenticated, ErrorReason::NoToken),
        Refusal::Header
        | Refusal::Malformed
        | Refusal::Issuer
        | Refusal::Signature
        | Refusal::NotYetValid
        | Refusal::NoRole
        | Refusal::NoSuchKey => invalid(),
        Refusal::UnknownKey => invalid().retry_after(BUSY_DELAY),
        Refusal::TooLong { bytes, bytes_max } => {
            invalid().with("bytes", bytes).with("bytes_max", bytes_max)
        }
        Refusal::Claim { claim } | Refusal::User { claim, .. } => invalid().with("claim", claim),
        Refusal::Expired | Refusal::KeyExpired => {
            new(Code::Unauthenticated, ErrorReason::TokenExpired)
        }
        Refusal::Revoked => new(Code::Unauthenticated, ErrorReason::KeyRevoked),
        Refusal::NoKeys => {
            new(Code::Unavailable, ErrorReason::KeysUnavailable).retry_after(BUSY_DELAY)
        }
        Refusal::Clock => new(Code::Unavailable, ErrorReason::ClockOutOfRange),
        Refusal::Role { role } => {
            new(Code::PermissionDenied, ErrorReason::RoleNotAllowed).with("role", role)
        }
        Refusal::OtherUser { own } => {
            new(Code::PermissionDenied, ErrorReason::OtherUser).with("user_id", own)
        }
    };
    let mut status = builder.into_status();
    if status.code() == Code::Unauthenticated {
        let (name, value) = CHALLENGE;
        status.metadata_mut().insert(name, tonic::metadata::MetadataValue::from_static(value));
    }
    status
}

/// A quota is used up: `max` in each `time`. The next may be after `wait`.
pub(in crate::api) fn quota_exceeded(
    quota: &'static str,
    max: u32,
    time: Duration,
    wait: Duration,
) -> Status {
    let seconds = time.as_secs();
    let message = format!(
        "the quota {quota} is used up, of {max} in {seconds} s: try again after the time in the \
         details"
    );
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::QuotaExceeded, message)
        .with("quota", quota)
        .with("max", max)
        .with("seconds", seconds)
        .quota(quota)
        .retry_after(wait)
        .into_status()
}

/// The end of a stream whose caller has ended.
pub(in crate::api) fn from_end(cause: EndCause) -> Status {
    from_refusal(match cause {
        EndCause::Expired => Refusal::Expired,
        EndCause::Revoked => Refusal::Revoked,
    })
}

/// The reason of that end.
pub(in crate::api) fn reason_of_end(cause: EndCause) -> ErrorReason {
    match cause {
        EndCause::Expired => ErrorReason::TokenExpired,
        EndCause::Revoked => ErrorReason::KeyRevoked,
    }
}
