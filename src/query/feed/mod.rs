//! Feeds: merged from the timelines of their authors when they are read, and never stored.
//!
//! ```text
//!   timelines ──▶ merge ──▶ walk ──▶ rules ──▶ page of positions ──▶ posts, counts
//!   a list of      newest   event     which          home, author       hydrate
//!   marks each     first    if needed marks are shown
//! ```

pub(super) mod author;
pub(super) mod consequences;
mod hidden;
pub(super) mod home;
pub mod merge;
pub(super) mod rules;
pub(super) mod walk;

use std::sync::Arc;

use walk::WalkStep;

use super::hydrate::Viewer;
use super::results::{FeedItem, Page, PagePosition};
use super::{Source, Unanswered, hydrate};
use crate::model::{Post, Revision, UserId};
use crate::state::{MissingEvent, TimelineEvent};

/// A page of a feed, without its posts.
#[derive(Debug)]
pub(crate) struct FeedPage {
    /// Its entries, newest first.
    pub(super) items: Vec<PagedEntry>,
    /// If older entries may follow: they come before this.
    pub(super) next: Option<Revision>,
    /// The position that the page shows: all up to it, and nothing after it.
    pub(super) at: Revision,
}

/// An entry of a page.
#[derive(Clone, Debug)]
pub(crate) struct PagedEntry {
    /// Its position in the feed.
    pub(super) revision: Revision,
    /// Where its post is in the log: elsewhere if it was reposted.
    pub(super) post: Revision,
    /// Who reposted it, if that is why it is here.
    pub(super) reposted_by: Option<UserId>,
}

/// A page of the entries that `next` gives.
///
/// # Errors
/// The first of `next`'s.
fn fill(
    source: &Source<'_>,
    items_max: usize,
    at: Revision,
    mut next: impl FnMut() -> Result<WalkStep, Unanswered>,
) -> Result<FeedPage, Unanswered> {
    let mut items = Vec::new();
    let next = loop {
        match next()? {
            // One more than the page holds tells whether there is another page.
            WalkStep::Entry(entry) if items.len() == items_max => {
                break Some(entry.revision.next());
            }
            WalkStep::Entry(entry) => items.push(PagedEntry {
                revision: entry.revision,
                post: entry.post,
                reposted_by: entry.reposted_by.map(|reposter| source.state.users.name(reposter)),
            }),
            WalkStep::Enough(before) => break Some(before),
            WalkStep::End => break None,
        }
    };
    Ok(FeedPage { items, next, at })
}

impl FeedPage {
    /// The page with its posts and their counts, without those that were deleted meanwhile. A page of
    /// a listing that began at `position` keeps that position.
    ///
    /// # Errors
    /// A part is not in memory; or the log or the index cannot be read.
    fn hydrate(
        self,
        source: &Source<'_>,
        viewer: Viewer<'_>,
        position: Option<PagePosition>,
    ) -> Result<Page<FeedItem>, Unanswered> {
        let posts = hydrate::views(source, viewer, self.posts(source)?)?;
        let mut posts = posts.into_iter().peekable();
        let item = |PagedEntry { revision, post, reposted_by }| {
            let post = posts.next_if(|found| found.post.revision == post)?;
            Some(FeedItem { revision, post, reposted_by })
        };
        let at = position.map_or(self.at, |position| position.at);
        let next = self.next.map(|before| PagePosition { before, at });
        Ok(Page { items: self.items.into_iter().filter_map(item).collect(), next, at })
    }

    fn posts(&self, source: &Source<'_>) -> Result<Vec<Arc<Post>>, Unanswered> {
        let revisions: Vec<_> = self.items.iter().map(|item| item.post).collect();
        let mut posts = Vec::with_capacity(revisions.len());
        for (event, revision) in source.events_left(&revisions)?.into_iter().zip(revisions) {
            match event {
                Some(TimelineEvent::Post(post)) => posts.push(post),
                None => {}
                Some(_) => return Err(MissingEvent { revision }.into()),
            }
        }
        Ok(posts)
    }
}
