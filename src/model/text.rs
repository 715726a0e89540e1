//! What people write, and the ids that clients give their requests.

use std::fmt;
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use super::bounds::{REQUEST_ID_BYTES_MAX, TEXT_BYTES_MAX, TEXT_GRAPHEMES_MAX};
use super::visible::has_visible;

/// The text of a post: 1 to 3,000 bytes, at most 300 graphemes, no NUL, and something that a reader
/// sees; or none, if there are attachments.
///
/// Its `Debug` shows only its length: what people write stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PostText(Arc<str>);

/// What makes a publish safe to repeat: 1 to 64 bytes without control characters, the author's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// Why a text cannot be posted, or cannot be a request id. Its `Display` says what would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("must be at most {bytes_max} bytes long, not {bytes}")]
    TooManyBytes {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// More graphemes than allowed.
    #[error("must have at most {graphemes_max} graphemes, not {graphemes}")]
    TooManyGraphemes {
        /// How many it has.
        graphemes: usize,
        /// How many it may have.
        graphemes_max: usize,
    },
    /// White space and invisible characters only.
    #[error("must have something that a reader sees, but is invisible")]
    Invisible,
    /// A character that may not be there.
    #[error("must not have the character {character:?}, but has it at byte {at}")]
    BadCharacter {
        /// The character.
        character: char,
        /// Where it is, counted in bytes from 0.
        at: usize,
    },
}

impl TextError {
    /// The changing parts of its message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Empty | Self::Invisible => Vec::new(),
            Self::TooManyBytes { bytes, bytes_max } => {
                vec![("bytes", bytes.to_string()), ("bytes_max", bytes_max.to_string())]
            }
            Self::TooManyGraphemes { graphemes, graphemes_max } => vec![
                ("graphemes", graphemes.to_string()),
                ("graphemes_max", graphemes_max.to_string()),
            ],
            Self::BadCharacter { character, at } => vec![
                ("character", character.escape_default().to_string()),
                ("at_byte", at.to_string()),
            ],
        }
    }
}

impl PostText {
    /// Checks `text` and makes it a post's.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    ///
    /// # Examples
    /// ```
    /// use whimbrel::model::{PostText, TextError};
    ///
    /// // A grapheme is what a reader takes for one character: this family is 25 bytes, and one.
    /// let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    /// assert_eq!(family.len(), 25);
    /// assert!(PostText::parse(&family.repeat(100)).is_ok());
    ///
    /// let error = TextError::TooManyGraphemes { graphemes: 301, graphemes_max: 300 };
    /// assert_eq!(PostText::parse(&"a".repeat(301)), Err(error));
    ///
    /// // Only white space and characters without a shape: a reader would see nothing.
    /// assert_eq!(PostText::parse(" \u{200b} "), Err(TextError::Invisible));
    /// ```
    pub fn parse(text: &str) -> Result<Self, TextError> {
        check(text, TEXT_BYTES_MAX, |character| character != '\0')?;
        check_graphemes(text, TEXT_GRAPHEMES_MAX)?;
        check_visible(text)?;
        Ok(Self(text.into()))
    }

    /// No text, for a post that has attachments instead.
    #[must_use]
    pub fn none() -> Self {
        Self("".into())
    }

    /// A text that was parsed before it was stored. It is not checked again: to count the
    /// graphemes of every post in a replay would be work for nothing.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostText({} bytes)", self.0.len())
    }
}

impl RequestId {
    /// Checks `text` and makes it a request id.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        check(text, REQUEST_ID_BYTES_MAX, |character| !character.is_control())?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Fails for a text of more than `graphemes_max`.
pub(super) fn check_graphemes(text: &str, graphemes_max: usize) -> Result<(), TextError> {
    // A grapheme has at least a byte, so short texts need no counting.
    if text.len() > graphemes_max {
        let graphemes = text.graphemes(true).count();
        if graphemes > graphemes_max {
            return Err(TextError::TooManyGraphemes { graphemes, graphemes_max });
        }
    }
    Ok(())
}

/// Fails for a text in which a reader sees nothing.
pub(super) fn check_visible(text: &str) -> Result<(), TextError> {
    if has_visible(text) { Ok(()) } else { Err(TextError::Invisible) }
}

pub(super) fn check(
    text: &str,
    bytes_max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.len() > bytes_max {
        return Err(TextError::TooManyBytes { bytes: text.len(), bytes_max });
    }
    match text.char_indices().find(|&(_, character)| !allowed(character)) {
        Some((at, character)) => Err(TextError::BadCharacter { character, at }),
        None => Ok(()),
    }
}
