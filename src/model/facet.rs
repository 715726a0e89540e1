//! Facets: the mentions, links and hashtags in a text. Never searches a text for them, see
//! [`super::scan`].

use std::sync::Arc;

use iri_string::types::{IriStr, UriStr};

use super::bounds::{FACETS_BYTES_MAX, FACETS_MAX, MENTIONS_MAX, URI_BYTES_MAX};
use super::bounds::{TAG_BYTES_MAX, TAG_GRAPHEMES_MAX};
use super::text::{check, check_graphemes, check_visible};
use super::{PostText, TextError, UserId};

/// A range of a text, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The first byte of the range in the UTF-8 of the text.
    pub start: usize,
    /// The byte after the range.
    pub end: usize,
    /// The meaning of the range.
    pub feature: Feature,
}

/// The meaning of a range of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feature {
    /// The name of a user, who may not exist.
    Mention(UserId),
    /// A link to the web.
    Link(Link),
    /// A hashtag.
    Tag(Tag),
}

/// The target of a link: an absolute `http` or `https` URI (RFC 3986) of at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(Arc<str>);

/// A hashtag without its `#`: at most 640 bytes and 64 graphemes, without white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(Arc<str>);

/// The facets of one text: ordered, not overlapping, and at most
/// [`FACETS_MAX`](super::bounds::FACETS_MAX).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The author gave them; otherwise the server found them in the text.
    is_from_author: bool,
    all: Box<[Facet]>,
}

/// Why a text is not a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A rule for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No absolute URI, another scheme, or no host.
    #[error("must be an absolute http or https URI, with a host (RFC 3986)")]
    NotOfTheWeb,
}

/// Why a text is not a hashtag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A rule for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The tag begins with its `#`.
    #[error("must be without the # at its beginning")]
    HasSign,
}

/// Why facets are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacetsError {
    /// The range of a facet is invalid.
    #[error("facet {at} has a bad range: {field} {rule}")]
    BadRange {
        /// The number of the facet, from 0.
        at: usize,
        /// The field of the range.
        field: &'static str,
        /// The rule that the field breaks.
        rule: RangeRule,
    },
    /// The user ids, URIs and tags are too long together.
    #[error(
        "must have at most {FACETS_BYTES_MAX} bytes of user ids, URIs and tags together, not \
         {bytes}"
    )]
    TooManyBytes {
        /// Their bytes.
        bytes: usize,
    },
}

/// A rule for the range of a facet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeRule {
    /// The range is empty.
    #[error("must be after byte_start, {start}, but is {end}")]
    Empty {
        /// The start of the range.
        start: usize,
        /// The end of the range.
        end: usize,
    },
    /// The range begins before the end of the previous facet.
    #[error(
        "must not be before the end of the facet before it, {end}, but is {start}: facets are in \
         the order of the text and do not overlap"
    )]
    Overlaps {
        /// The start of the range.
        start: usize,
        /// The end of the previous facet.
        end: usize,
    },
    /// The range ends after the text.
    #[error("must be within the text, which has {bytes} bytes of UTF-8, but is {end}")]
    BeyondText {
        /// The end of the range.
        end: usize,
        /// Bytes of the text.
        bytes: usize,
    },
    /// The range begins or ends inside a character.
    #[error("must be where a character begins or ends, but byte {place} is inside of one")]
    InsideCharacter {
        /// The offset in bytes.
        place: usize,
    },
}

impl Link {
    /// Checks the target of a link.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        check(text, URI_BYTES_MAX, |character| character.is_ascii_graphic())?;
        let uri = UriStr::new(text).map_err(|_| LinkError::NotOfTheWeb)?;
        let scheme = uri.scheme_str();
        let is_of_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
        let has_host = uri.authority_components().is_some_and(|it| !it.host().is_empty());
        if is_of_web && has_host {
            Ok(Self::from_stored(text))
        } else {
            Err(LinkError::NotOfTheWeb)
        }
    }

    /// The link of an IRI, with its characters outside of ASCII percent-encoded (RFC 3987, section
    /// 3.1). `None` if that is not a valid link.
    pub(super) fn from_iri(text: &str) -> Option<Self> {
        Self::parse(&IriStr::new(text).ok()?.encode_to_uri().to_string()).ok()
    }

    /// A link from the log. It was parsed before it was stored, and is not checked again.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// Checks a hashtag.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        check(text, TAG_BYTES_MAX, |c| !c.is_whitespace() && !c.is_control())?;
        check_graphemes(text, TAG_GRAPHEMES_MAX)?;
        check_visible(text)?;
        if text.starts_with(['#', '\u{ff03}']) {
            return Err(TagError::HasSign);
        }
        Ok(Self::from_stored(text))
    }

    /// A hashtag from the log. It was parsed before it was stored, and is not checked again.
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

impl Facet {
    /// Bytes of the user id, URI or tag.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.feature {
            Feature::Mention(user) => user.as_str().len(),
            Feature::Link(link) => link.as_str().len(),
            Feature::Tag(tag) => tag.as_str().len(),
        }
    }
}

impl Facets {
    /// Checks the facets that the author of `text` gave: at most
    /// [`FACETS_MAX`](super::bounds::FACETS_MAX).
    ///
    /// # Errors
    /// The first rule that a facet breaks.
    pub fn from_author(text: &PostText, all: Box<[Facet]>) -> Result<Self, FacetsError> {
        debug_assert!(all.len() <= FACETS_MAX, "the caller bounds the number of facets");
        let mut free_from = 0;
        for (at, facet) in all.iter().enumerate() {
            let bad = |field, rule| FacetsError::BadRange { at, field, rule };
            check_range(text.as_str(), facet.start, facet.end, free_from)
                .map_err(|(field, rule)| bad(field, rule))?;
            free_from = facet.end;
        }
        let bytes = all.iter().map(Facet::bytes).sum();
        if bytes > FACETS_BYTES_MAX {
            return Err(FacetsError::TooManyBytes { bytes });
        }
        Ok(Self { is_from_author: true, all })
    }

    /// Facets that the server found in a text, see [`Facets::scan`].
    #[must_use]
    pub fn from_scan(all: Box<[Facet]>) -> Self {
        Self { is_from_author: false, all }
    }

    /// Facets from the log. They were checked before they were stored, and are not checked again.
    #[must_use]
    pub fn from_stored(is_from_author: bool, all: Box<[Facet]>) -> Self {
        Self { is_from_author, all }
    }

    /// Whether the author gave the facets.
    #[must_use]
    pub fn are_from_author(&self) -> bool {
        self.is_from_author
    }

    /// All facets, in the order of the text.
    #[must_use]
    pub fn all(&self) -> &[Facet] {
        &self.all
    }

    /// Whether two publishes of the same text request the same facets: both leave them to the
    /// server, or both give the same.
    #[must_use]
    pub fn is_same_request(&self, other: &Self) -> bool {
        self.is_from_author == other.is_from_author
            && (!self.is_from_author || self.all == other.all)
    }

    /// The users that the mentions notify: those that `is_user` accepts, each once, in the
    /// order of the text, at most [`MENTIONS_MAX`].
    #[must_use]
    pub fn mentioned(&self, is_user: impl Fn(&UserId) -> bool) -> Box<[UserId]> {
        let mut mentioned = Vec::new();
        for facet in &self.all {
            let Feature::Mention(user) = &facet.feature else { continue };
            if mentioned.len() < MENTIONS_MAX && !mentioned.contains(user) && is_user(user) {
                mentioned.push(user.clone());
            }
        }
        mentioned.into()
    }

    /// Bytes of all user ids, URIs and tags.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all.iter().map(Facet::bytes).sum()
    }
}

/// Checks that `start..end` is a range of `text` that begins at `free_from` or later. The error has
/// the name of the invalid field.
fn check_range(
    text: &str,
    start: usize,
    end: usize,
    free_from: usize,
) -> Result<(), (&'static str, RangeRule)> {
    if start < free_from {
        return Err(("byte_start", RangeRule::Overlaps { start, end: free_from }));
    }
    if end <= start {
        return Err(("byte_end", RangeRule::Empty { start, end }));
    }
    if end > text.len() {
        return Err(("byte_end", RangeRule::BeyondText { end, bytes: text.len() }));
    }
    for (field, place) in [("byte_start", start), ("byte_end", end)] {
        if !text.is_char_boundary(place) {
            return Err((field, RangeRule::InsideCharacter { place }));
        }
    }
    Ok(())
}

impl LinkError {
    /// The parameters of the message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Text(error) => error.parts(),
            Self::NotOfTheWeb => Vec::new(),
        }
    }
}

impl TagError {
    /// The parameters of the message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Text(error) => error.parts(),
            Self::HasSign => Vec::new(),
        }
    }
}

impl RangeRule {
    /// The parameters of the message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Empty { start, end } => {
                vec![("start", start.to_string()), ("end", end.to_string())]
            }
            Self::Overlaps { start, end } => {
                vec![("start", start.to_string()), ("end_before", end.to_string())]
            }
            Self::BeyondText { end, bytes } => {
                vec![("end", end.to_string()), ("bytes", bytes.to_string())]
            }
            Self::InsideCharacter { place } => vec![("place", place.to_string())],
        }
    }
}
