//! Cursors and page tokens as text: opaque, safe in a URL, and never confused with each other.
//!
//! ```text
//!   base64url, unpadded, of   kind and version │ fields       │ epoch │ CRC-32
//!                             1 B              │ 8 B each, LE │ 4 B   │ 4 B
//!   cursor      0x71 ("c…")   log id, after, snapshot_until (left out if 0)
//!   page token  0xa5 ("p…")   log id, before, at, listing
//! ```
//!
//! The epoch is that of the log at the newest revision in the fields. Positions from before epochs
//! were recorded have no epoch, and an even first byte, as all tokens of earlier versions.
//!
//! The CRC detects texts that were cut or mistyped. It is no signature: a forged token gives a
//! position in a listing to which its caller could have paged.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::formats::TOKEN;
use crate::model::{Cursor, Epoch, Epochs, LogId, Revision};
use crate::query::PagePosition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Cursor,
    PageToken,
}

/// Why a text is no token of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenError {
    /// The expected kind.
    pub(super) kind: TokenKind,
    /// The text is a valid token of the other kind.
    is_other_kind: bool,
}

/// A position in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    pub(super) log: LogId,
    pub(super) position: PagePosition,
    /// The digest of the listing; see [`super::listing`].
    pub(super) listing: u64,
}

const CHECK_BYTES: usize = 4;
const EPOCH_BYTES: usize = 4;
/// The version in the first byte of a token with an epoch.
const WITH_EPOCH: u8 = 1;
const _: () = assert!(TOKEN.version == 1, "the first byte says it");
const FIELD_BYTES: usize = 8;
/// The most fields, which a page token has.
const FIELDS_MAX: usize = 4;
const TOKEN_BYTES_MAX: usize = 1 + FIELDS_MAX * FIELD_BYTES + EPOCH_BYTES + CHECK_BYTES;
/// Base64 makes 4 characters of 3 bytes.
const TEXT_BYTES_MAX: usize = (TOKEN_BYTES_MAX * 4).div_ceil(3);

/// A token as text.
#[derive(Clone, Copy)]
pub(super) struct TokenText {
    text: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl TokenText {
    fn of(token: &[u8]) -> Self {
        let mut text = [0; TEXT_BYTES_MAX];
        match URL_SAFE_NO_PAD.encode_slice(token, &mut text) {
            Ok(length) => Self { text, length },
            Err(error) => unreachable!("a token has at most {TOKEN_BYTES_MAX} bytes: {error}"),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl fmt::Display for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TokenKind {
    /// The first byte without an epoch. In base64 its upper 6 bits are "c" or "p"; its lower 2 bits
    /// are the version: 0, or 1 with an epoch.
    fn first_byte(self) -> u8 {
        match self {
            Self::Cursor => 0x70,
            Self::PageToken => 0xa4,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Cursor => Self::PageToken,
            Self::PageToken => Self::Cursor,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::PageToken => "page token",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, other) = (self.kind.name(), self.kind.other().name());
        if self.is_other_kind {
            write!(f, "must be a {kind}, but is a {other}: give the {kind} instead")
        } else {
            write!(
                f,
                "must be a {kind} exactly as this server gave it, but is none: leave it out to \
                 start without one"
            )
        }
    }
}

pub(super) fn encode_cursor(cursor: &Cursor, epochs: &Epochs) -> String {
    cursor_text(cursor, epochs).to_string()
}

/// As [`encode_cursor`], but without memory of its own: a post to many makes two for each reader.
pub(super) fn cursor_text(cursor: &Cursor, epochs: &Epochs) -> TokenText {
    let fields = [cursor.log.get(), cursor.after.get(), cursor.snapshot_until.get()];
    let used = if cursor.snapshot_until == Revision::ZERO { &fields[..2] } else { &fields[..] };
    encode(TokenKind::Cursor, used, epochs.at(cursor.required_revision()))
}

/// The cursor, and the epoch that it names.
pub(super) fn decode_cursor(text: &str) -> Result<(Cursor, Epoch), TokenError> {
    let kind = TokenKind::Cursor;
    let (fields, epoch) = decode(kind, text)?;
    let (log, after, snapshot_until) = match *fields.as_slice() {
        [log, after] => (log, after, 0),
        [log, after, snapshot_until] => (log, after, snapshot_until),
        _ => return Err(TokenError { kind, is_other_kind: false }),
    };
    let cursor = Cursor {
        log: LogId::new(log),
        after: Revision::new(after),
        snapshot_until: Revision::new(snapshot_until),
    };
    Ok((cursor, epoch))
}

/// The revision that a cursor names; `None` if it is no cursor. Of two cursors of one log the greater is the newer.
#[must_use]
pub fn cursor_position(text: &str) -> Option<u64> {
    decode_cursor(text).ok().map(|(cursor, _)| cursor.required_revision().get())
}

pub(super) fn encode_page_token(token: &PageToken, epochs: &Epochs) -> String {
    let PagePosition { before, at } = token.position;
    let fields = [token.log.get(), before.get(), at.get(), token.listing];
    encode(TokenKind::PageToken, &fields, epochs.at(at)).to_string()
}

/// The page token, and the epoch that it names.
pub(super) fn decode_page_token(text: &str) -> Result<(PageToken, Epoch), TokenError> {
    let kind = TokenKind::PageToken;
    let (fields, epoch) = decode(kind, text)?;
    let &[log, before, at, listing] = fields.as_slice() else {
        return Err(TokenError { kind, is_other_kind: false });
    };
    let position = PagePosition { before: Revision::new(before), at: Revision::new(at) };
    Ok((PageToken { log: LogId::new(log), position, listing }, epoch))
}

fn encode(kind: TokenKind, fields: &[u64], epoch: Epoch) -> TokenText {
    let version = if epoch == Epoch::UNRECORDED { 0 } else { WITH_EPOCH };
    let mut bytes = [0; TOKEN_BYTES_MAX];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    put(&[kind.first_byte() | version]);
    fields.iter().for_each(|field| put(&field.to_le_bytes()));
    if version == WITH_EPOCH {
        put(&epoch.get().to_le_bytes());
    }
    let check = crc32fast::hash(&bytes[..length]);
    bytes[length..length + CHECK_BYTES].copy_from_slice(&check.to_le_bytes());
    TokenText::of(&bytes[..length + CHECK_BYTES])
}

fn decode(kind: TokenKind, text: &str) -> Result<(Vec<u64>, Epoch), TokenError> {
    let malformed = TokenError { kind, is_other_kind: false };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed)?;
    let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(malformed)?;
    if u32::from_le_bytes(*check) != crc32fast::hash(content) {
        return Err(malformed);
    }
    let (&first, content) = content.split_first().ok_or(malformed)?;
    let (fields, epoch) = match first & !WITH_EPOCH {
        byte if byte != kind.first_byte() => {
            return Err(TokenError { kind, is_other_kind: byte == kind.other().first_byte() });
        }
        _ if first & WITH_EPOCH == 0 => (content, Epoch::UNRECORDED),
        _ => {
            let (fields, epoch) = content.split_last_chunk::<EPOCH_BYTES>().ok_or(malformed)?;
            (fields, Epoch::new(u32::from_le_bytes(*epoch)))
        }
    };
    let (fields, []) = fields.as_chunks::<FIELD_BYTES>() else { return Err(malformed) };
    Ok((fields.iter().map(|field| u64::from_le_bytes(*field)).collect(), epoch))
}
