//! The trace of a call, from its headers, by W3C Trace Context (<https://www.w3.org/TR/trace-context/>). What
//! is not valid is ignored, as that standard asks for. Never decides which calls are traced.

use http::{HeaderMap, HeaderValue};

use crate::runtime::call::Trace;

const PARENT_HEADER: &str = "traceparent";
const STATE_HEADER: &str = "tracestate";
/// Longest state that is handed on: the least that the standard asks for. A longer one is dropped whole.
const STATE_BYTES_MAX: usize = 512;
/// The bytes of a `traceparent` of version 0: version, trace id, parent id and flags.
const PARENT_BYTES: usize = 55;
/// The flag that says that the caller keeps its spans.
const SAMPLED: u8 = 1;

/// The caller's trace; `is_sampled` as the caller says. `None` without a valid one.
pub(super) fn of(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(PARENT_HEADER).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let trace = parse(parent.to_str().ok()?)?;
    Some(Trace { state: state(headers).unwrap_or_default(), ..trace })
}

fn parse(text: &str) -> Option<Trace> {
    let (known, further) = text.split_at_checked(PARENT_BYTES)?;
    let mut parts = known.split('-');
    let [version] = bytes(parts.next()?)?;
    let trace_id: [u8; 16] = bytes(parts.next()?)?;
    let parent_id: [u8; 8] = bytes(parts.next()?)?;
    let [flags] = bytes(parts.next()?)?;
    // Later versions may have further parts. No version is 255.
    let is_form_known = match version {
        0 => further.is_empty(),
        255 => false,
        _ => further.is_empty() || further.starts_with('-'),
    };
    let is_valid = is_form_known && trace_id != [0; 16] && parent_id != [0; 8];
    let is_sampled = flags & SAMPLED != 0;
    is_valid.then(|| Trace { trace_id, parent_id, state: Box::default(), is_sampled })
}

/// The bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * N || !digits.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The state, whose parts may be in several headers.
fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let parts: Vec<_> = headers.get_all(STATE_HEADER).iter().map(HeaderValue::to_str).collect();
    let parts = parts.into_iter().collect::<Result<Vec<_>, _>>().ok()?;
    let state = parts.join(",");
    (state.len() <= STATE_BYTES_MAX).then(|| state.into())
}
