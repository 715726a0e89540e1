//! Pages of a home feed.

use super::rules::{FeedRules, Moment};
use super::{FeedPage, fill};
use crate::model::{Mark, Revision, UserId};
use crate::query::results::{FeedItem, Page, PagePosition};
use crate::query::{Query, Source, Unanswered, hydrate};

/// A page of a home feed, newest first. It shows one moment: no change is half in it. It is full
/// unless the feed ends, apart from what is deleted while it is read, and where it has gone through
/// [`page_scan_entries_max`](crate::config::Limits::page_scan_entries_max) positions.
///
/// A repost is left out if the post, or another repost of it, is among the 40 entries that are next
/// older in the feed: all those that it would have if no repost were left out.
///
/// Fails if the position is not of this log.
#[derive(Clone, Debug)]
pub struct HomeFeed {
    /// Whose feed.
    pub user: UserId,
    /// How many items at most.
    pub items_max: usize,
    /// Where the page begins; `None` for the newest items.
    pub position: Option<PagePosition>,
    /// Whether the user's own posts are in it.
    pub with_own: bool,
    /// Whether all replies of the followed users are in it, and not only those to the user and to
    /// others who are followed.
    pub all_replies: bool,
}

impl Query for HomeFeed {
    type Answer = Page<FeedItem>;

    fn answer(&self, source: &Source<'_>) -> Result<Page<FeedItem>, Unanswered> {
        source.check_position(self.position)?;
        let viewer = hydrate::viewer(source.state, &self.user);
        self.entries(source)?.hydrate(source, viewer, self.position)
    }
}

impl HomeFeed {
    /// The page without its posts.
    ///
    /// # Errors
    /// A part is not in memory; or the log or the index cannot be read.
    pub(crate) fn entries(&self, source: &Source<'_>) -> Result<FeedPage, Unanswered> {
        // Read before the edges: what they show is then at least as new.
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
