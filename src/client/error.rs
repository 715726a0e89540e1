//! Why a call failed. Never decides whether to call again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{AddressError, TlsProblem, tls};
use crate::runtime::files::FileError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is invalid.
    #[error("cannot use the address {address:?}: {problem}")]
    Address {
        /// The address as given.
        address: String,
        /// Why it is invalid.
        problem: AddressError,
    },
    /// The server cannot be reached.
    #[error("cannot reach {address}: is `whimbrel serve` running there? ({})", root(source.as_ref()))]
    Connect {
        /// The address.
        address: String,
        /// The error of the transport.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is there, and says that it does not serve.
    #[error("{address} does not serve now: it starts, stops, or repairs its index")]
    NotServing {
        /// The address.
        address: String,
    },
    /// The server is there, and TLS with it does not come about.
    #[error("cannot speak TLS with {address}: {problem}")]
    Tls {
        /// The address.
        address: String,
        /// The problem.
        problem: TlsProblem,
    },
    /// A file with a certificate or a key cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The path.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file has no certificate.
    #[error("{} has no certificate: give a PEM file", file.display())]
    NoCertificate {
        /// The path.
        file: PathBuf,
    },
    /// The certificate and the key of the client, or the system's authorities, cannot be used.
    #[error(
        "cannot use the certificates for TLS: {0}; if this system has no authorities, give one with \
         --ca-file FILE"
    )]
    Certificates(String),
    /// A file with a token cannot be used.
    #[error(transparent)]
    TokenFile(#[from] FileError),
    /// What was given as a token is none.
    #[error("what was given as a token is none: a token is one word of ASCII characters")]
    NotAToken,
    /// Everybody on the way could read the token.
    #[error(
        "the token would be sent to {address} in clear text, for everybody on the way to read: give \
         https://host:port"
    )]
    TokenInClearText {
        /// The address.
        address: String,
    },
    /// The server answered with an error, or the connection broke.
    #[error(transparent)]
    Call(Box<CallError>),
    /// A stream brought no message within the time limit.
    #[error("the stream brought nothing for {} seconds", silence_max.as_secs())]
    Silent {
        /// The time limit.
        silence_max: Duration,
    },
    /// A stream ended with OK. A Whimbrel server never ends one so, but a proxy may.
    #[error("the stream ended without an error, which the server never does by itself")]
    Ended,
    /// The chain of cursors is broken: events are missing.
    #[error(
        "the stream has a hole: a batch continues {prev_cursor:?}, but the last cursor was {last:?}"
    )]
    Hole {
        /// The `prev_cursor` of the batch.
        prev_cursor: String,
        /// The cursor that was received before it.
        last: String,
    },
}

/// The status of a failed call.
#[derive(Clone, Debug)]
pub struct CallError {
    /// The status code's name, such as `INVALID_ARGUMENT`.
    pub code: &'static str,
    /// The server's reason, such as `SELF_FOLLOW`; empty if the error is not from the server.
    pub reason: String,
    /// The error for people: what happened and what to do.
    pub message: String,
    /// Whether the same call may succeed later.
    pub is_transient: bool,
    /// How long the server asks to wait before the next call.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() { self.code } else { &self.reason };
        write!(f, "{} ({reason})", self.message)
    }
}

impl std::error::Error for CallError {}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NotServing { .. } | Self::Silent { .. } | Self::Ended => {
                true
            }
            Self::Call(error) => error.is_transient,
            Self::Address { .. }
            | Self::TokenFile(_)
            | Self::NotAToken
            | Self::TokenInClearText { .. }
            | Self::Tls { .. }
            | Self::File { .. }
            | Self::NoCertificate { .. }
            | Self::Certificates(_)
            | Self::Hole { .. } => false,
        }
    }

    /// How long the server asks to wait before the next call, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after,
            _ => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map_or_else(String::new, |info| info.reason.clone());
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        // A status without details was made by the transport: the connection broke, or the server
        // closed it because a limit was exceeded. With another code it comes from a proxy between
        // the two, such as one that authenticates callers.
        let broken = [
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
            Code::ResourceExhausted,
            Code::Unavailable,
        ];
        let is_broken = reason.is_empty() && broken.contains(&status.code());
        let tls_problem = if is_broken { tls::problem(&status) } else { None };
        let is_transient = (is_broken && tls_problem.is_none())
            || retry_after.is_some()
            || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
        let message = match status.message() {
            _ if is_broken => {
                let problem = tls_problem.map(|problem| problem.to_string());
                format!("the connection failed: {}", problem.unwrap_or_else(|| root(&status)))
            }
            "" => "refused without a reason".to_owned(),
            message => message.to_owned(),
        };
        let code = name(status.code());
        Self::Call(Box::new(CallError { code, reason, message, is_transient, retry_after }))
    }
}

/// The innermost cause, which is the most specific.
pub(super) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The name of a code in the gRPC specification.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
