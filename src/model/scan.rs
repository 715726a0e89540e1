//! The scan for mentions, links and hashtags in a text whose author gave no facets. Never looks up
//! a user by itself: the caller does.

use std::cell::Cell;
use std::ops::Range;

use linkify::{LinkFinder, LinkKind};

use super::bounds::{FACETS_BYTES_MAX, FACETS_MAX};
use super::facet::{Facet, Facets, Feature, Link, Tag};
use super::mention;
use super::visible::is_mark;
use super::{PostText, UserId};

/// The signs of a hashtag: `#`, and its wide form on East Asian keyboards.
const TAG_SIGNS: [char; 2] = ['#', '\u{ff03}'];

/// Characters inside a hashtag, but not at its ends: joiners that some scripts need inside words,
/// and the dots of Catalan and Japanese.
const INSIDE_TAGS: [char; 4] = ['\u{200c}', '\u{200d}', '\u{b7}', '\u{30fb}'];

/// Most lookups of names for one text: a dozen for each mention that it may have. A text of marks
/// alone could need ten times as many.
const LOOKUPS_MAX: usize = 12 * FACETS_MAX;

/// A URL in a text.
struct Url {
    range: Range<usize>,
    /// It has a scheme; otherwise it only looks like a domain, with or without a path.
    has_scheme: bool,
}

impl Facets {
    /// Finds the mentions of users that `is_user` accepts, the links and the hashtags in `text`:
    /// the first ones, as many as a post may have.
    ///
    /// - A link is a URL of `http` or `https`.
    /// - A mention is `@` and a name, not inside a URL and not as a part of an e-mail address.
    /// - A hashtag is `#` and letters, digits and `_` of any script, at least one letter, not
    ///   inside a URL and not right after a letter or digit.
    ///
    /// # Examples
    /// ```
    /// use whimbrel::model::{Facets, Feature, PostText};
    ///
    /// let text = PostText::parse("@alice, see https://example.org/@bob #birds @nobody")?;
    /// let facets = Facets::scan(&text, |name| name.as_str() != "nobody");
    /// let found = facets.all().iter().map(|facet| match &facet.feature {
    ///     Feature::Mention(user) => format!("mention of {user}"),
    ///     Feature::Link(link) => format!("link to {}", link.as_str()),
    ///     Feature::Tag(tag) => format!("tag {}", tag.as_str()),
    /// });
    /// assert_eq!(
    ///     found.collect::<Vec<_>>(),
    ///     ["mention of alice", "link to https://example.org/@bob", "tag birds"]
    /// );
    ///
    /// // The range of a facet is in bytes, and includes the sign.
    /// let tag = &facets.all()[2];
    /// assert_eq!(&text.as_str()[tag.start..tag.end], "#birds");
    /// # Ok::<(), whimbrel::model::TextError>(())
    /// ```
    #[must_use]
    pub fn scan(text: &PostText, is_user: impl Fn(&UserId) -> bool) -> Self {
        let text = text.as_str();
        let is_sign = |c: char| mention::SIGNS.contains(&c) || TAG_SIGNS.contains(&c);
        // Most texts have none of them.
        if !text.contains("://") && !text.contains(is_sign) {
            return Self::default();
        }
        let lookups = Cell::new(0);
        let is_user = |name: &UserId| {
            lookups.set(lookups.get() + 1);
            lookups.get() <= LOOKUPS_MAX && is_user(name)
        };
        let urls = urls(text);
        let mut facets: Vec<_> = urls.iter().filter_map(|url| link(text, url)).collect();
        // The end of the last mention or hashtag, and the end of the last mention.
        let (mut free_from, mut mentioned_until) = (0, 0);
        for (at, sign) in text.match_indices(is_sign) {
            let is_in_url = urls.iter().any(|url| url.range.contains(&at));
            if at < free_from || is_in_url {
                continue;
            }
            let from = at + sign.len();
            let is_mention = sign.starts_with(mention::SIGNS);
            // A name or tag ends before a URL. A text that only looks like a domain may be part of
            // it.
            let next = urls.iter().find(|url| url.has_scheme && url.range.start >= from);
            let after = &text[from..next.map_or(text.len(), |url| url.range.start)];
            let found = if is_mention {
                mention::mentioned(&text[mentioned_until..at], after, is_user)
                    .map(|(user, bytes)| (Feature::Mention(user), bytes))
            } else {
                tag(&text[..at], after).map(|(tag, bytes)| (Feature::Tag(tag), bytes))
            };
            if let Some((feature, bytes)) = found {
                free_from = from + bytes;
                if is_mention {
                    mentioned_until = free_from;
                }
                facets.push(Facet { start: at, end: free_from, feature });
            }
        }
        facets.sort_unstable_by_key(|facet| facet.start);
        Self::from_scan(bounded(facets))
    }
}

/// The URLs in `text`, in the order of the text.
fn urls(text: &str) -> Vec<Url> {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
    let url = |found: linkify::Link<'_>| {
        // A colon after a slash, a question mark or a hash does not end a scheme.
        let scheme = found.as_str().split_once("://").map(|(scheme, _)| scheme);
        let has_scheme = scheme.is_some_and(|scheme| !scheme.contains(['/', '?', '#']));
        Url { range: found.start()..found.end(), has_scheme }
    };
    finder.links(text).map(url).collect()
}

/// The facet of `url`; `None` if it has no scheme of the web.
fn link(text: &str, url: &Url) -> Option<Facet> {
    let Range { start, end } = url.range;
    let link = url.has_scheme.then(|| Link::from_iri(&text[start..end]))?;
    link.map(|link| Facet { start, end, feature: Feature::Link(link) })
}

/// The hashtag after a sign between `before` and `after`, and its bytes in `after`.
fn tag(before: &str, after: &str) -> Option<(Tag, usize)> {
    let of_tag = |c: char| c.is_alphanumeric() || c == '_' || is_mark(c);
    // After an ampersand the sign begins a character reference of HTML, after a slash a part of a
    // path.
    let is_bound = |c: char| of_tag(c) || TAG_SIGNS.contains(&c) || c == '&' || c == '/';
    if before.ends_with(is_bound) {
        return None;
    }
    let end = after.find(|c| !of_tag(c) && !INSIDE_TAGS.contains(&c)).unwrap_or(after.len());
    let tag = after[..end].trim_end_matches(INSIDE_TAGS);
    let is_tag = tag.starts_with(of_tag) && tag.contains(char::is_alphabetic);
    let parsed = is_tag.then(|| Tag::parse(tag).ok())?;
    parsed.map(|parsed| (parsed, tag.len()))
}

/// The first of `facets`, as many as a post may have.
fn bounded(mut facets: Vec<Facet>) -> Box<[Facet]> {
    facets.truncate(FACETS_MAX);
    let mut bytes = 0;
    let fits = |facet: &&Facet| {
        bytes += facet.bytes();
        bytes <= FACETS_BYTES_MAX
    };
    let fitting = facets.iter().take_while(fits).count();
    facets.truncate(fitting);
    facets.into()
}
