//! How long a caller waits, as the headers of the call say.

use std::time::Duration;

use http::HeaderMap;

const HEADER: &str = "grpc-timeout";
/// The specification's bound: at most 8 digits, so that nothing overflows.
const DIGITS_MAX: usize = 8;

/// The time that the call has; `None` if its caller sets no bound, or none that can be read.
///
/// The format is that of the gRPC specification over HTTP/2: digits and a unit.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
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
