//! Byte order marks at the beginning of text files. Never converts an encoding.

/// The byte order mark that some programs write before UTF-8. It is a signature and no content
/// (RFC 3629, section 6).
const UTF_8: &[u8] = b"\xef\xbb\xbf";
/// The byte order marks of UTF-16, in both byte orders.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// `text` without a byte order mark.
pub(super) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF_8).unwrap_or(text)
}

/// As [`without_bom`], of a `str`.
pub(super) fn str_without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether `start` has a byte order mark of UTF-16, which no verb reads.
pub(super) fn is_utf_16(start: &[u8]) -> bool {
    UTF_16.iter().any(|mark| start.starts_with(mark))
}
