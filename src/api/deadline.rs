//! The timeout of a call, from its headers. Never measures time.

use std::time::Duration;

use http::HeaderMap;
use tonic::Status;

use super::{head, status};

const HEADER: &str = "grpc-timeout";
/// The limit of the gRPC specification. With it no unit overflows.
const DIGITS_MAX: usize = 8;

/// The timeout of the call; `None` if its caller sets none.
///
/// The format is that of gRPC over HTTP/2: digits and a unit.
///
/// # Errors
/// The header has another format, or is there more than once. It is not ignored, because the caller
/// relies on the timeout.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = head::single_value(headers, HEADER)? else { return Ok(None) };
    match value.to_str().ok().and_then(parse) {
        Some(time) => Ok(Some(time)),
        None => Err(status::invalid_metadata(
            HEADER,
            "must be 1 to 8 digits and a unit, one of H, M, S, m, u and n: 2500m are 2.5 seconds",
        )),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=DIGITS_MAX).contains(&digits.len()) || !are_digits {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 60 * 60)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}
