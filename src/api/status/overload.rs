//! The errors of a server that has more to do than it may, or whose client sends or takes too slowly.

use std::time::Duration;

use tonic::{Code, Status};

use super::{BUSY_DELAY, OVERLOAD_DELAY, StatusBuilder};
use crate::api::account::TooMuchHeld;
use crate::api::v1::ErrorReason;

/// The server answers as many calls as it may.
pub(in crate::api) fn overloaded(calls_max: usize) -> Status {
    let message = format!(
        "the server is at its limit of {calls_max} concurrent calls: try again in a moment"
    );
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .with("calls_max", calls_max)
        .quota("calls")
        .retry_after(BUSY_DELAY)
        .into_status()
}

/// The server is overloaded, and lets in no caller that it does not know.
pub(in crate::api) fn too_busy_for_strangers() -> Status {
    let message = "the server is overloaded, and looks at no token now that it has not seen before: \
                   try again in a moment";
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .quota("new_tokens")
        .retry_after(OVERLOAD_DELAY)
        .into_status()
}

/// The requests of a connection or an address that have not arrived whole take too much memory.
pub(in crate::api) fn too_much_unfinished(limit: TooMuchHeld) -> Status {
    let (whose, bytes_max) = match limit {
        TooMuchHeld::Connection { bytes_max } => ("connection", bytes_max),
        TooMuchHeld::Address { bytes_max } => ("address", bytes_max),
    };
    let message = format!(
        "the requests of this {whose} that have not arrived whole take more than {bytes_max} \
         bytes: send each request whole, and try again in a moment"
    );
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .with("bytes_max", bytes_max)
        .quota(format!("requests of the {whose}"))
        .retry_after(BUSY_DELAY)
        .into_status()
}

/// The client takes too little of its answers for a further one.
pub(in crate::api) fn answers_not_taken() -> Status {
    let message = "the answers of this connection that its client has not taken leave no room for \
                   another one: read them, and try again. Nothing was done";
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .quota("answers of the connection")
        .retry_after(BUSY_DELAY)
        .into_status()
}

/// A request has not arrived whole in time.
pub(in crate::api) fn request_too_slow(time_max: Duration) -> Status {
    let message = format!(
        "the request did not arrive whole within {time_max:?} or the call's own time: send its \
         message at once, and end the request. Nothing was done"
    );
    StatusBuilder::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message)
        .with("seconds_max", time_max.as_secs_f64())
        .into_status()
}

/// Too many reads of the caller wait, of which `waiting_max` may.
pub(super) fn too_many_wait(message: String, waiting_max: usize) -> StatusBuilder {
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
        .with("waiting_max", waiting_max)
        .quota("waiting_reads")
        .retry_after(BUSY_DELAY)
}
