//! How long a caller waits, as the headers of the call say.

use std::time::Duration;

use http::HeaderMap;
use tonic::Status;

use super::{head, status};

const HEADER: &str = "grpc-timeout";
/// The specification's bound: at most 8 digits, so that nothing overflows.
const DIGITS_MAX: usize = 8;

/// The time that the call has; `None` if its caller sets no bound.
///
/// The format is that of the gRPC specification over HTTP/2: digits and a unit.
///
/// # Errors
/// The header is there and not of that format, or more than once: whoever set a bound counts on it.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = head::single(headers, HEADER)? else { return Ok(None) };
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
