//! Attachments and languages of a post. The server never fetches an attachment.

use std::sync::Arc;

use oxilangtag::LanguageTag;

use super::TextError;
use super::bounds::{ALT_BYTES_MAX, LANG_BYTES_MAX, MEDIA_TYPE_BYTES_MAX, URI_BYTES_MAX};
use super::text::{check, check_visible};

/// A reference to a file that is attached to a post. Whimbrel never stores the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// An absolute URI (RFC 3986) of 1 to 2,048 bytes.
    pub uri: Arc<str>,
    /// A media type (RFC 6838) of at most 255 bytes, or empty.
    pub media_type: Arc<str>,
    /// A description for people who cannot see the file: at most 1,000 bytes; empty, or visible.
    pub alt: Arc<str>,
}

/// A field of an attachment that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct AttachmentError {
    /// The name of the field.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: AttachmentRule,
}

/// A rule for a field of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentRule {
    /// A rule for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The URI has no scheme.
    #[error("must begin with a scheme, as https: does")]
    NoScheme,
    /// The media type has not the form `type/subtype`.
    #[error("must be a media type like image/png, or empty")]
    NotAMediaType,
}

/// A language tag like `en` or `pt-BR`: well-formed by BCP 47 (RFC 5646, section 2.2.9), of at most
/// 35 bytes, in the letter case of section 2.1.1, so that equal languages have equal tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lang(Arc<str>);

/// The text is not a language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language tag like en or pt-BR (BCP 47), of at most {LANG_BYTES_MAX} bytes")]
pub struct LangError;

impl Attachment {
    /// Checks the fields of an attachment.
    ///
    /// # Errors
    /// The first field that breaks a rule.
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

    /// An attachment from the log. It was parsed before it was stored, and is not checked again.
    #[must_use]
    pub fn from_stored(uri: &str, media_type: &str, alt: &str) -> Self {
        Self { uri: uri.into(), media_type: media_type.into(), alt: alt.into() }
    }

    /// Bytes of the URI, the media type and the description.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.uri.len() + self.media_type.len() + self.alt.len()
    }
}

/// Whether `uri` begins with a letter, then letters, digits and `+ - .`, then a colon (RFC 3986,
/// section 3.1).
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(allowed)
        && !rest.is_empty()
}

impl AttachmentError {
    /// The parameters of the message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self.rule {
            AttachmentRule::Text(error) => error.parts(),
            AttachmentRule::NoScheme | AttachmentRule::NotAMediaType => Vec::new(),
        }
    }
}

impl Lang {
    /// Parses a language tag, and normalizes its letter case.
    ///
    /// # Errors
    /// `text` is not a well-formed tag of at most 35 bytes.
    pub fn parse(text: &str) -> Result<Self, LangError> {
        if text.len() > LANG_BYTES_MAX {
            return Err(LangError);
        }
        let tag = LanguageTag::parse_and_normalize(text).map_err(|_| LangError)?;
        Ok(Self(tag.into_inner().into()))
    }

    /// A language from the log. It was parsed before it was stored, and is not checked again.
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
