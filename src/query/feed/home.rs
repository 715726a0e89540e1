//! Pages of a home feed. A page never mixes two states: it shows one revision.

use super::rules::{FeedRules, Moment};
use super::{FeedPage, fill};
use crate::model::{Mark, Revision, UserId};
use crate::query::results::{FeedItem, Page, PagePosition};
use crate::query::{Query, Source, Unanswered, hydrate};

/// A page of a home feed, newest first. It is full unless the feed ends, a post is deleted during
/// the read, or [`page_scan_entries_max`](crate::config::Limits::page_scan_entries_max) marks are
/// scanned.
///
/// A repost is left out if the post, or another repost of it, is among the 40 next older entries of
/// the feed. These are counted before any repost is left out.
///
/// Fails if the position is not of this log.
#[derive(Clone, Debug)]
pub struct HomeFeed {
    /// The feed's user.
    pub user: UserId,
    /// The maximum number of items.
    pub items_max: usize,
    /// The start of the page; `None` for the newest items.
    pub position: Option<PagePosition>,
    /// Whether the feed has the user's own posts.
    pub with_own: bool,
    /// Whether the feed has all replies of the followed users, and not only those to the user and
    /// to other followed users.
    pub all_replies: bool,
}

impl Query for HomeFeed {
    type Answer = Page<FeedItem>;

    fn answer(&self, source: &Source<'_>) -> Result<Page<FeedItem>, Unanswered> {
        source.check_position(self.position)?;
        let viewer = hydrate::viewer(source.state, &self.user);
        let page = source.once(|| self.entries(source))?;
        page.hydrate(source, viewer, self.position)
    }
}

impl HomeFeed {
    /// The page without its posts.
    ///
    /// # Errors
    /// A mark or an event is not in memory; or the log or the index cannot be read.
    pub(crate) fn entries(&self, source: &Source<'_>) -> Result<FeedPage, Unanswered> {
        // Read before the edges, which are then at least as new.
        let applied = source.state.applied();
        let rules = FeedRules::new(source.state, &self.user, self.with_own, self.all_replies);
        let Some(rules) = rules else {
            return Ok(FeedPage { items: Vec::new(), next: None, at: applied });
        };
        let at = applied.max(rules.changed_at());
        let before = self.position.map_or(Revision::MAX, |position| position.before);
        let mut walk = rules.walk(Mark::before(before.min(at.next())), Moment::NOW, source)?;
        fill(source, self.items_max, at, || walk.next())
    }
}
