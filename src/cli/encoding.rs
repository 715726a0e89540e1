//! Text that programs have written to files: what they put before it to say how it is encoded.

/// The byte order mark, which some programs begin UTF-8 with. It is a signature and no content
/// (RFC 3629, section 6).
const UTF_8: &[u8] = b"\xef\xbb\xbf";
/// How a text in UTF-16 begins, in either order of the bytes.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// `text` without the mark before it.
pub(super) fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF_8).unwrap_or(text)
}

/// The same of a text that is known to be UTF-8.
pub(super) fn unmarked_str(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether a text that begins so is marked as UTF-16, which is read nowhere here.
pub(super) fn is_utf_16(start: &[u8]) -> bool {
    UTF_16.iter().any(|mark| start.starts_with(mark))
}
