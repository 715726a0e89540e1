//! The id of a call, from its headers or a fresh one. Not the `request_id` of a change, which makes it safe
//! to repeat: this one only finds a call in logs. Never trusts that an id is unique.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::runtime::call::CallId;

/// The header, of requests and of responses.
pub(super) const HEADER: HeaderName = HeaderName::from_static(NAME);
pub(super) const NAME: &str = "x-request-id";
/// Longest id of a caller: it is in each line of the log about the call.
pub(super) const BYTES_MAX: usize = 128;

/// The id that the caller gives, if it is plain; otherwise a fresh one.
pub(super) fn of(headers: &HeaderMap) -> CallId {
    let mut given = headers.get_all(HEADER).iter();
    let given = match (given.next(), given.next()) {
        (Some(id), None) => id.to_str().ok().filter(|id| id.len() <= BYTES_MAX),
        _ => None,
    };
    given.and_then(CallId::given).unwrap_or_else(CallId::fresh)
}

/// The header of a response to the call `id`.
pub(super) fn header(id: &str) -> HeaderValue {
    let Ok(mut value) = HeaderValue::from_str(id) else {
        unreachable!("an id is plain text: {id:?}")
    };
    // It is no secret, but it comes once: otherwise HPACK would keep it for later responses, in place of
    // headers that do come again.
    value.set_sensitive(true);
    value
}
