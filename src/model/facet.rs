//! What parts of a text are: mentions, links and hashtags. Never looks for them, see
//! [`super::scan`].

use std::sync::Arc;

use iri_string::types::{IriStr, UriStr};

use super::bounds::{FACETS_BYTES_MAX, MENTIONS_MAX, URI_BYTES_MAX};
use super::bounds::{TAG_BYTES_MAX, TAG_GRAPHEMES_MAX};
use super::text::{check, check_graphemes, check_visible};
use super::{PostText, TextError, UserId};

/// A part of a text, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// Where it begins: a place in the text, in bytes of UTF-8.
    pub start: usize,
    /// Where it ends: the place after it.
    pub end: usize,
    /// What it is.
    pub feature: Feature,
}

/// What a part of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feature {
    /// It names a user, who need not exist.
    Mention(UserId),
    /// It leads to a place on the web.
    Link(Link),
    /// It is a hashtag.
    Tag(Tag),
}

/// Where a link leads: an absolute `http` or `https` URI (RFC 3986) of at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link(Arc<str>);

/// A hashtag without its `#`: at most 640 bytes and 64 graphemes, without white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(Arc<str>);

/// The facets of one text: in order, none overlapping another, and not too many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The author said what they are; else they were found in the text.
    is_from_author: bool,
    all: Box<[Facet]>,
}

/// Why something is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A rule for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Not of the form, of another scheme, or without a host.
    #[error("must be an absolute http or https URI, with a host (RFC 3986)")]
    NotOfTheWeb,
}

/// Why something is no hashtag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A rule for every text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It has the sign that it is written with.
    #[error("must be without the # that it is written with")]
    HasSign,
}

/// Why facets cannot be those of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacetsError {
    /// One of them is not a part of the text.
    #[error("facet {at} is no part of the text: {field} {rule}")]
    BadRange {
        /// Which, from 0.
        at: usize,
        /// Its field.
        field: &'static str,
        /// What that must be.
        rule: RangeRule,
    },
    /// Their names, links and tags are too long.
    #[error(
        "must have at most {FACETS_BYTES_MAX} bytes of user ids, URIs and tags together, not {bytes}"
    )]
    TooManyBytes {
        /// How many they have.
        bytes: usize,
    },
}

/// What a range must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeRule {
    /// Nothing is in it.
    #[error("must be after byte_start, {start}, but is {end}")]
    Empty {
        /// Its beginning.
        start: usize,
        /// Its end.
        end: usize,
    },
    /// It begins inside the one before it, or before that.
    #[error(
        "must not be before the end of the facet before it, {end}, but is {start}: facets are in \
         the order of the text and do not overlap"
    )]
    Overlaps {
        /// Its beginning.
        start: usize,
        /// The end of the one before.
        end: usize,
    },
    /// It ends beyond the text.
    #[error("must be within the text, which has {bytes} bytes of UTF-8, but is {end}")]
    BeyondText {
        /// Its end.
        end: usize,
        /// How long the text is.
        bytes: usize,
    },
    /// It cuts a character.
    #[error("must be where a character begins or ends, but byte {place} is inside of one")]
    InsideCharacter {
        /// The place.
        place: usize,
    },
}

impl Link {
    /// Checks `text` and makes it a link.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
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

    /// The link that `text` is when what is not ASCII in it is percent-encoded (RFC 3987, 3.1).
    pub(super) fn from_iri(text: &str) -> Option<Self> {
        Self::parse(&IriStr::new(text).ok()?.encode_to_uri().to_string()).ok()
    }

    /// A link that was parsed before it was stored.
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
    /// Checks `text` and makes it a hashtag.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        check(text, TAG_BYTES_MAX, |c| !c.is_whitespace() && !c.is_control())?;
        check_graphemes(text, TAG_GRAPHEMES_MAX)?;
        check_visible(text)?;
        if text.starts_with(['#', '\u{ff03}']) {
            return Err(TagError::HasSign);
        }
        Ok(Self::from_stored(text))
    }

    /// A hashtag that was parsed before it was stored.
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
    /// The bytes of its name, link or tag.
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
    /// Those that the author of `text` gave, checked. `all` are at most
    /// [`super::bounds::FACETS_MAX`].
    ///
    /// # Errors
    /// Says which of them breaks which rule.
    pub fn from_author(text: &PostText, all: Box<[Facet]>) -> Result<Self, FacetsError> {
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

    /// Those that were found in a text.
    #[must_use]
    pub fn from_scan(all: Box<[Facet]>) -> Self {
        Self { is_from_author: false, all }
    }

    /// Facets that were checked before they were stored.
    #[must_use]
    pub fn from_stored(is_from_author: bool, all: Box<[Facet]>) -> Self {
        Self { is_from_author, all }
    }

    /// Whether the author gave them.
    #[must_use]
    pub fn are_from_author(&self) -> bool {
        self.is_from_author
    }

    /// They themselves.
    #[must_use]
    pub fn all(&self) -> &[Facet] {
        &self.all
    }

    /// Whether one author asks for these and those of the same text alike: both leave them to be
    /// found, whatever is found by now, or both give the same.
    #[must_use]
    pub fn is_same_request(&self, other: &Self) -> bool {
        self.is_from_author == other.is_from_author
            && (!self.is_from_author || self.all == other.all)
    }

    /// The users who are to be notified: of those mentioned who are users by now, each once, in
    /// order, at most [`MENTIONS_MAX`].
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

    /// The bytes of their names, links and tags.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all.iter().map(Facet::bytes).sum()
    }
}

/// Checks that `start..end` is a part of `text` from `free_from` on; else gives the field to blame.
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
    /// The changing parts of its message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Text(error) => error.parts(),
            Self::NotOfTheWeb => Vec::new(),
        }
    }
}

impl TagError {
    /// The changing parts of its message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Text(error) => error.parts(),
            Self::HasSign => Vec::new(),
        }
    }
}

impl RangeRule {
    /// The changing parts of its message, by name.
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
