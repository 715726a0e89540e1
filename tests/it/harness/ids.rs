//! Post ids and cursors as clients have them, and changed ones.
//!
//! A post id is `p`, the revision, and letters for the epoch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The id without its letters, as models have it.
pub(crate) fn without_epoch(id: &str) -> &str {
    let digits = id[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(id.len() - 1);
    &id[..1 + digits]
}

/// The id of a post at another revision, in the epoch of `id`.
pub(crate) fn id_at(revision: u64, id: &str) -> String {
    format!("p{revision}{}", &id[without_epoch(id).len()..])
}

/// The position one revision after `cursor`, in the same epoch.
pub(crate) fn one_later(cursor: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).expect("a cursor");
    let revision: [u8; 8] = bytes[9..17].try_into().expect("eight bytes");
    with_revision(cursor, u64::from_le_bytes(revision) + 1)
}

/// A cursor or page token with another revision, in the same epoch. Its first bytes are its kind, the
/// log and the revision, which a page token has twice; its last are a checksum.
pub(crate) fn with_revision(token: &str, revision: u64) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("a cursor or a page token");
    bytes[9..17].copy_from_slice(&revision.to_le_bytes());
    if token.starts_with('p') {
        bytes[17..25].copy_from_slice(&revision.to_le_bytes());
    }
    bytes.truncate(bytes.len() - 4);
    let check = crc32fast::hash(&bytes);
    bytes.extend(check.to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}
