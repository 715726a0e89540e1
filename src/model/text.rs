//! Texts of posts, and request ids. A text is never changed: it is accepted as it is, or refused.

use std::fmt;
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use super::bounds::{REQUEST_ID_BYTES_MAX, TEXT_BYTES_MAX, TEXT_GRAPHEMES_MAX};
use super::visible::has_visible;

/// The text of a post: 1 to 3,000 bytes, at most 300 graphemes, no NUL, and at least one visible
/// character. Empty for a post that has only attachments.
///
/// `Debug` shows only the length, so that no text gets into the program's log.
#[derive(Clone, PartialEq, Eq)]
pub struct PostText(Arc<str>);

/// A client's key for retries of a publish: 1 to 64 bytes without control characters. Unique per
/// author.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// The rule that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("must be at most {bytes_max} bytes long, not {bytes}")]
    TooManyBytes {
        /// Bytes of the text.
        bytes: usize,
        /// Most bytes allowed.
        bytes_max: usize,
    },
    /// More graphemes than allowed.
    #[error("must have at most {graphemes_max} graphemes, not {graphemes}")]
    TooManyGraphemes {
        /// Graphemes of the text.
        graphemes: usize,
        /// Most graphemes allowed.
        graphemes_max: usize,
    },
    /// Only white space and invisible characters.
    #[error("must have a visible character, but has none")]
    Invisible,
    /// A character that is not allowed.
    #[error("must not have the character {character:?}, but has it at byte {at}")]
    BadCharacter {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

impl TextError {
    /// The parameters of the message, by name.
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
    /// Checks the text of a post.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    ///
    /// # Examples
    /// ```
    /// use whimbrel::model::{PostText, TextError};
    ///
    /// // A grapheme is a character as a reader sees it: this family has 25 bytes and one grapheme.
    /// let family = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    /// assert_eq!(family.len(), 25);
    /// assert!(PostText::parse(&family.repeat(100)).is_ok());
    ///
    /// let error = TextError::TooManyGraphemes { graphemes: 301, graphemes_max: 300 };
    /// assert_eq!(PostText::parse(&"a".repeat(301)), Err(error));
    ///
    /// // Only white space and invisible characters.
    /// assert_eq!(PostText::parse(" \u{200b} "), Err(TextError::Invisible));
    /// ```
    pub fn parse(text: &str) -> Result<Self, TextError> {
        check(text, TEXT_BYTES_MAX, |character| character != '\0')?;
        check_graphemes(text, TEXT_GRAPHEMES_MAX)?;
        check_visible(text)?;
        Ok(Self(text.into()))
    }

    /// The empty text, for a post that has only attachments.
    #[must_use]
    pub fn empty() -> Self {
        Self("".into())
    }

    /// A text from the log. It was parsed before it was stored, and is not checked again: a replay
    /// would count the graphemes of every post in vain.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
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
    /// Checks a request id.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
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

/// Fails if `text` has more than `graphemes_max` graphemes (UAX #29, extended grapheme clusters).
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

/// Fails if `text` has no visible character.
pub(super) fn check_visible(text: &str) -> Result<(), TextError> {
    if has_visible(text) { Ok(()) } else { Err(TextError::Invisible) }
}

/// Fails if `text` is empty, is longer than `bytes_max`, or has a character that is not `allowed`.
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
