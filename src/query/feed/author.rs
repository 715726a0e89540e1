//! Pages of the posts and reposts of one author. Never hides a post because of a mute.

use super::rules::FeedEntry;
use super::walk::{LoadedMark, MarkLoader, WalkStep, newest_first};
use super::{FeedPage, fill};
use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::hydrate::Viewer;
use crate::query::results::{FeedItem, Page, PagePosition};
use crate::query::{Error, Query, Source, Unanswered, hydrate};
use crate::state::users::UserIx;

/// A page of the posts and reposts of one author, newest first.
///
/// Fails with [`Error::Blocked`] if viewer and author do not see each other, and if the position is
/// not of this log.
#[derive(Clone, Debug)]
pub struct AuthorFeed {
    /// The user who reads.
    pub viewer: UserId,
    /// The author whose posts are read.
    pub author: UserId,
    /// The maximum number of items.
    pub items_max: usize,
    /// The start of the page; `None` for the newest items.
    pub position: Option<PagePosition>,
    /// Whether the page has replies. All replies count, also those in the author's own threads.
    pub with_replies: bool,
    /// Whether the page has reposts.
    pub with_reposts: bool,
}

impl Query for AuthorFeed {
    type Answer = Page<FeedItem>;

    fn answer(&self, source: &Source<'_>) -> Result<Page<FeedItem>, Unanswered> {
        if source.state.is_blocked_either_way(&self.viewer, &self.author) {
            let (user, other) = (self.viewer.clone(), self.author.clone());
            return Err(Error::Blocked { user, other }.into());
        }
        source.check_position(self.position)?;
        let viewer = hydrate::viewer(source.state, &self.viewer);
        let page = source.once(|| self.entries(source, viewer))?;
        page.hydrate(source, viewer, self.position)
    }
}

impl AuthorFeed {
    fn entries(&self, source: &Source<'_>, viewer: Viewer<'_>) -> Result<FeedPage, Unanswered> {
        let at = source.state.applied();
        let Some(author) = source.state.users.get(&self.author) else {
            return Ok(FeedPage { items: Vec::new(), next: None, at });
        };
        let before = self.position.map_or(Revision::MAX, |position| position.before);
        let before = Mark::before(before.min(at.next()));
        let mut marks =
            MarkLoader::new(newest_first(source, std::iter::once(author), before)?, source);
        let needs_facts = |mark, _| self.needs_facts(source, mark);
        let (mut scanned, mut reached) = (0, before.revision());
        fill(source, self.items_max, at, || {
            while scanned < source.scan_max() {
                let Some(loaded) = marks.next(needs_facts)? else { return Ok(WalkStep::End) };
                (scanned, reached) = (scanned + 1, loaded.mark.revision());
                if let Some(entry) = self.entry(source, viewer, author, loaded) {
                    return Ok(WalkStep::Entry(entry));
                }
                source.skip(1)?;
            }
            Ok(WalkStep::Enough(reached))
        })
    }

    /// Whether an entry for `mark` may be in the page.
    fn may_show(&self, source: &Source<'_>, mark: Mark) -> bool {
        let is_there = !source.state.is_retracted(mark.revision());
        match mark.kind() {
            MarkKind::Post | MarkKind::Conditional => is_there,
            MarkKind::Repost => self.with_reposts && is_there,
            MarkKind::Change => false,
        }
    }

    /// Whether facts are needed to decide if a mark is shown: the mark of a post does not contain
    /// whether it is a reply.
    fn needs_facts(&self, source: &Source<'_>, mark: Mark) -> bool {
        match mark.kind() {
            MarkKind::Post | MarkKind::Conditional => {
                !self.with_replies && self.may_show(source, mark)
            }
            MarkKind::Repost => self.may_show(source, mark),
            MarkKind::Change => false,
        }
    }

    fn entry(
        &self,
        source: &Source<'_>,
        viewer: Viewer<'_>,
        author: UserIx,
        LoadedMark { mark, facts, .. }: LoadedMark<UserIx>,
    ) -> Option<FeedEntry> {
        if !self.may_show(source, mark) {
            return None;
        }
        let revision = mark.revision();
        let entry = FeedEntry { revision, post: revision, reposted_by: None, is_retracted: false };
        match facts {
            None => Some(entry),
            Some(facts) if mark.kind() == MarkKind::Repost => {
                let is_shown = !source.state.is_retracted(facts.post) && viewer.sees(facts.author);
                let (post, reposted_by) = (facts.post, Some(author));
                is_shown.then_some(FeedEntry { post, reposted_by, ..entry })
            }
            Some(facts) => facts.parent_author.is_none().then_some(entry),
        }
    }
}
