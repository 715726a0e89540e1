//! What a post carries beside its text.

use std::sync::Arc;

use oxilangtag::LanguageTag;

use super::TextError;
use super::bounds::{ALT_BYTES_MAX, LANG_BYTES_MAX, MEDIA_TYPE_BYTES_MAX, URI_BYTES_MAX};
use super::text::{check, check_visible};

/// Something attached to a post: where it is, and what. Whimbrel keeps the reference and never the
/// thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where it is: an absolute URI (RFC 3986) of 1 to 2,048 bytes.
    pub uri: Arc<str>,
    /// What it is: a media type (RFC 6838), or empty.
    pub media_type: Arc<str>,
    /// What it shows, for those who do not see it; may be empty, but not invisible.
    pub alt: Arc<str>,
}

/// Why something cannot be attached: which field, and which rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct AttachmentError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub rule: AttachmentRule,
}

/// A rule that a field of an attachment breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentRule {
    /// One for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No scheme.
    #[error("must begin with a scheme, as https: does")]
    NoScheme,
    /// Not of the form `type/subtype`.
    #[error("must be a media type like image/png, or empty")]
    NotAMediaType,
}

/// A language: a tag like `en` or `pt-BR`, well-formed by BCP 47 (RFC 5646, 2.2.9), of at most 35
/// bytes, in the case that is usual there (2.1.1): so tags that mean the same are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lang(Arc<str>);

/// A text is no language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language tag like en or pt-BR (BCP 47), of at most {LANG_BYTES_MAX} bytes")]
pub struct LangError;

impl Attachment {
    /// Checks the fields of an attachment.
    ///
    /// # Errors
    /// Says which rule which field breaks.
    pub fn parse(uri: &str, media_type: &str, alt: &str) -> Result<Self, AttachmentError> {
        let broken = |field| move |rule| AttachmentError { field, rule };
        let visible = |character: char| character.is_ascii_graphic();
        check(uri, URI_BYTES_MAX, visible).map_err(|error| broken("uri")(error.into()))?;
        if !has_scheme(uri) {
            return Err(broken("uri")(AttachmentRule::NoScheme));
        }
        if !media_type.is_empty() {
            check(media_type, MEDIA_TYPE_BYTES_MAX, visible)
                .map_err(|error| broken("media_type")(error.into()))?;
            let parts = media_type.split_once('/');
            if !parts.is_some_and(|(kind, of)| !kind.is_empty() && !of.is_empty()) {
                return Err(broken("media_type")(AttachmentRule::NotAMediaType));
            }
        }
        if !alt.is_empty() {
            check(alt, ALT_BYTES_MAX, |character| character != '\0')
                .and_then(|()| check_visible(alt))
                .map_err(|error| broken("alt")(error.into()))?;
        }
        Ok(Self::from_stored(uri, media_type, alt))
    }

    /// An attachment that was parsed before it was stored.
    #[must_use]
    pub fn from_stored(uri: &str, media_type: &str, alt: &str) -> Self {
        Self { uri: uri.into(), media_type: media_type.into(), alt: alt.into() }
    }

    /// The bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.uri.len() + self.media_type.len() + self.alt.len()
    }
}

/// A letter, then letters, digits and `+ - .`, then a colon (RFC 3986, 3.1).
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(allowed)
        && !rest.is_empty()
}

impl AttachmentError {
    /// The changing parts of its message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self.rule {
            AttachmentRule::Text(error) => error.parts(),
            AttachmentRule::NoScheme | AttachmentRule::NotAMediaType => Vec::new(),
        }
    }
}

impl Lang {
    /// Checks `text` and makes it a language.
    ///
    /// # Errors
    /// It has not the form of a tag.
    pub fn parse(text: &str) -> Result<Self, LangError> {
        if text.len() > LANG_BYTES_MAX {
            return Err(LangError);
        }
        let tag = LanguageTag::parse_and_normalize(text).map_err(|_| LangError)?;
        Ok(Self(tag.into_inner().into()))
    }

    /// A language that was parsed before it was stored.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
