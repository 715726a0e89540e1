//! The description of a shape: how much data there is, which calls are made, and how fast. It is read
//! from TOML, whether it is built in or a user's own. Never measures.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::model::bounds;

/// The longest id of a user in a shape: the prefix of a run and a number.
pub(super) const USER_ID_CHARS_MAX: u64 = 25;
/// Characters of a link in a text. Its address is longer, as apps show it.
pub(super) const LINK_CHARS_MAX: u64 = 8;

/// A workload: its data, its calls and their rates. The built-in ones explain each key in their
/// comments.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Number of users.
    pub users: u64,
    /// Number of follows before the measurement, in both directions of mutual ones.
    pub follows: u64,
    /// Whether each follow is returned.
    pub mutual: bool,
    /// The exponent of the Pareto distribution of audiences. Without it all are equal.
    pub audience_tail: Option<f64>,
    /// Number of posts before the measurement, the same of each user.
    pub posts: u64,
    /// Users, follows and posts are divided by it by default.
    pub scale: u64,
    /// Items of a page.
    pub page_items: u64,
    /// The posts.
    pub text: TextShape,
    /// The mix of calls.
    pub calls: CallWeights,
    /// The rates of calls.
    pub load: LoadSteps,
    /// What others published for this shape.
    pub published: Option<Published>,
}

/// What a post consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TextShape {
    /// Characters of the text, without mentions and links.
    pub chars: u64,
    /// The fewest and the most mentions of a post.
    pub mentions: [u64; 2],
    /// The fewest and the most links.
    pub links: [u64; 2],
    /// Bytes of the address of a link.
    pub link_bytes: u64,
    /// The fewest and the most media.
    pub media: [u64; 2],
}

/// How often each call is made, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallWeights {
    /// First pages of home feeds: `NewsFeed`.
    pub feed: u64,
    /// First pages of a user's posts: `ListPosts`.
    pub user_posts: u64,
    /// New posts: `Publish`.
    pub publish: u64,
    /// Follows of random users: `Follow`.
    pub follow: u64,
}

/// The rates of calls, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSteps {
    /// Calls per second of each step, rising.
    pub rates: Vec<u64>,
    /// Seconds before the first step that are not measured.
    pub warm_up_seconds: u64,
    /// Seconds of a step.
    pub seconds: u64,
    /// The greatest p99 of a step that is held, in milliseconds.
    pub p99_ms_max: u64,
}

/// Figures that others published, for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Rates and latencies.
    pub figures: String,
    /// The machines.
    pub hardware: String,
    /// Where they are published.
    pub source: String,
    /// Why they cannot be compared as they are.
    #[serde(rename(serialize = "notComparable"))]
    pub not_comparable: String,
}

/// Why a description cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// It is not TOML, or its keys are not those of a shape.
    #[error("{0}")]
    Toml(String),
    /// A number is out of its range.
    #[error("`{key}` is {given}: give a number from {} to {}", range.start(), range.end())]
    Range {
        /// The key of the number.
        key: &'static str,
        /// The number.
        given: u64,
        /// The numbers that it may be.
        range: RangeInclusive<u64>,
    },
    /// The numbers do not go together.
    #[error("{0}")]
    Conflict(&'static str),
}

impl Shape {
    /// Reads a description in TOML.
    ///
    /// # Errors
    /// A key is missing or unknown, or a value is out of its range.
    pub fn from_toml(text: &str) -> Result<Self, ShapeError> {
        let shape: Self =
            toml::from_str(text).map_err(|error| ShapeError::Toml(error.to_string()))?;
        shape.check_ranges()?;
        shape.check_conflicts()?;
        Ok(shape)
    }

    /// The same shape with `scale` times fewer users, follows and posts.
    ///
    /// # Errors
    /// So few users cannot have so many follows.
    pub fn scaled(mut self, scale: u64) -> Result<Self, ShapeError> {
        check("--scale", scale, 1..=SCALE_MAX)?;
        self.scale = scale;
        self.users /= scale;
        self.posts /= scale;
        self.follows /= scale;
        if self.mutual {
            self.follows -= self.follows % 2;
        }
        if self.users < 2 || self.follows > self.follows_max() {
            return Err(ShapeError::Conflict(
                "the follows do not fit the users at this scale: give a smaller --scale, more \
                 `users` or fewer `follows`",
            ));
        }
        Ok(self)
    }

    /// Number of changes that make the data.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.follows + self.posts
    }

    /// How many follows there can be: everybody follows everybody else. Of an even number of users,
    /// the graph has no friendship of two who are opposite in its ring.
    fn follows_max(&self) -> u64 {
        let each = self.users - 1;
        self.users * if self.mutual { each - each % 2 } else { each }
    }

    fn check_ranges(&self) -> Result<(), ShapeError> {
        let text = &self.text;
        check("users", self.users, 2..=USERS_MAX)?;
        check("follows", self.follows, 0..=CHANGES_MAX)?;
        check("posts", self.posts, 0..=CHANGES_MAX)?;
        check("scale", self.scale, 1..=SCALE_MAX)?;
        check("page_items", self.page_items, 1..=100)?;
        check("text.chars", text.chars, 1..=bounds::TEXT_GRAPHEMES_MAX as u64)?;
        check("text.mentions", text.mentions[1], 0..=bounds::MENTIONS_MAX as u64)?;
        check("text.links", text.links[1], 0..=bounds::FACETS_MAX as u64)?;
        check("text.link_bytes", text.link_bytes, LINK_BYTES_MIN..=bounds::URI_BYTES_MAX as u64)?;
        check("text.media", text.media[1], 0..=bounds::ATTACHMENTS_MAX as u64)?;
        for weight in self.calls.weights() {
            check("calls", weight, 0..=WEIGHT_MAX)?;
        }
        for &rate in &self.load.rates {
            check("load.rates", rate, 1..=RATE_MAX)?;
        }
        check("load.warm_up_seconds", self.load.warm_up_seconds, 0..=3_600)?;
        check("load.seconds", self.load.seconds, 1..=3_600)?;
        check("load.p99_ms_max", self.load.p99_ms_max, 1..=60_000)
    }

    fn check_conflicts(&self) -> Result<(), ShapeError> {
        let text = &self.text;
        let chars = text.chars
            + text.mentions[1] * (USER_ID_CHARS_MAX + 2)
            + text.links[1] * (LINK_CHARS_MAX + 1);
        let facets = text.mentions[1] + text.links[1];
        let facet_bytes = text.mentions[1] * USER_ID_CHARS_MAX + text.links[1] * text.link_bytes;
        let is_ordered = |range: [u64; 2]| range[0] <= range[1];
        let checks = [
            (
                self.calls.weights().iter().sum::<u64>() > 0,
                "all weights of `calls` are 0: give at least one call a weight",
            ),
            (
                !self.load.rates.is_empty() && self.load.rates.is_sorted_by(|a, b| a < b),
                "`load.rates` must have at least one rate, and rise",
            ),
            (
                self.audience_tail.is_none_or(|tail| tail > 1.0 && tail <= 10.0),
                "`audience_tail` must be greater than 1, so that there is a mean, and at most 10",
            ),
            (
                [text.mentions, text.links, text.media].into_iter().all(is_ordered),
                "`text.mentions`, `text.links` and `text.media` are the fewest and the most: the \
                 first number must not be greater than the second",
            ),
            (
                chars <= bounds::TEXT_GRAPHEMES_MAX as u64
                    && facets <= bounds::FACETS_MAX as u64
                    && facet_bytes <= bounds::FACETS_BYTES_MAX as u64,
                "the posts of `text` may become longer than the server accepts: give fewer \
                 `chars`, `mentions` or `links`, or shorter links",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, problem)) => Err(ShapeError::Conflict(problem)),
            None => Ok(()),
        }
    }
}

impl CallWeights {
    /// The weights, in the order of [`super::CallKind::ALL`].
    pub(super) fn weights(&self) -> [u64; 4] {
        [self.feed, self.user_posts, self.publish, self.follow]
    }
}

/// Users have numbers of 32 bits.
const USERS_MAX: u64 = 4_000_000_000;
/// More than any network has. Sums of it still fit 64 bits.
const CHANGES_MAX: u64 = 1_000_000_000_000_000;
/// No shape has more users to divide.
const SCALE_MAX: u64 = USERS_MAX;
/// Greater weights give no finer mix.
const WEIGHT_MAX: u64 = 1_000_000_000;
/// Far more than one client can make.
const RATE_MAX: u64 = 1_000_000;
/// Room for a host and a path.
const LINK_BYTES_MIN: u64 = 32;

fn check(key: &'static str, given: u64, range: RangeInclusive<u64>) -> Result<(), ShapeError> {
    match range.contains(&given) {
        true => Ok(()),
        false => Err(ShapeError::Range { key, given, range }),
    }
}
