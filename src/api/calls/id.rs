//! The id of a call, from its headers or a fresh one. Not the `request_id` of a change, which makes it safe
//! to repeat: this one only finds a call in logs. Never trusts that an id is unique.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::runtime::call::hex;

/// The header, of requests and of responses.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a caller: it is in each line of the log about the call.
const BYTES_MAX: usize = 128;

/// The id that the caller gives, if it is plain; otherwise a fresh one.
pub(super) fn of(headers: &HeaderMap) -> Box<str> {
    let mut given = headers.get_all(HEADER).iter();
    match (given.next().and_then(plain), given.next()) {
        (Some(id), None) => id.into(),
        _ => hex(&fastrand::u128(..).to_be_bytes()).into(),
    }
}

/// The header of a response to the call `id`.
pub(super) fn header(id: &str) -> HeaderValue {
    let Ok(value) = HeaderValue::from_str(id) else { unreachable!("an id is plain text: {id:?}") };
    value
}

/// `value`, if it can be part of a line of a log as it is.
fn plain(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    ((1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)).then_some(text)
}
