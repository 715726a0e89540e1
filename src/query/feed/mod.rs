//! Feeds: merged from the timelines of their authors when they are read, and never stored.
//!
//! ```text
//!   timelines ──▶ merge ──▶ walk ──▶ rules ──▶ page of positions ──▶ posts, counts
//!   a list of      newest   facts     which          home, author       hydrate
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
    /// The entries, newest first.
    pub(super) items: Vec<PagedEntry>,
    /// The older entries are before this; `None` if there are none.
    pub(super) next: Option<Revision>,
    /// The revision of the state that the page shows.
    pub(super) at: Revision,
}

/// An entry of a page.
#[derive(Clone, Debug)]
pub(crate) struct PagedEntry {
    /// The position in the feed.
    pub(super) revision: Revision,
    /// The revision of the post, which differs from the position for a repost.
    pub(super) post: Revision,
    /// The user who reposted; `None` if the entry is the post itself.
    pub(super) reposted_by: Option<UserId>,
}

/// A page of the entries of `next`.
///
/// # Errors
/// The first error of `next`.
fn fill(
    source: &Source<'_>,
    items_max: usize,
    at: Revision,
    mut next: impl FnMut() -> Result<WalkStep, Unanswered>,
) -> Result<FeedPage, Unanswered> {
    let mut items = Vec::new();
    let next = loop {
        match next()? {
            // One entry more than the page holds shows that there is another page.
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
    /// Adds the posts and their counts, and drops entries whose post was deleted meanwhile. A later
    /// page of a listing keeps the revision in `position`.
    ///
    /// # Errors
    /// A post or a count is not in memory; or the log or the index cannot be read.
    fn hydrate(
        &self,
        source: &Source<'_>,
        viewer: Viewer<'_>,
        position: Option<PagePosition>,
    ) -> Result<Page<FeedItem>, Unanswered> {
        let posts = hydrate::views(source, viewer, self.posts(source)?)?;
        let mut posts = posts.into_iter().peekable();
        let item = |PagedEntry { revision, post, reposted_by }: &PagedEntry| {
            let post = posts.next_if(|found| found.post.revision == *post)?;
            let (revision, reposted_by) = (*revision, reposted_by.clone());
            Some(FeedItem { revision, post, reposted_by })
        };
        let at = position.map_or(self.at, |position| position.at);
        let next = self.next.map(|before| PagePosition { before, at });
        Ok(Page { items: self.items.iter().filter_map(item).collect(), next, at })
    }

    fn posts(&self, source: &Source<'_>) -> Result<Vec<Arc<Post>>, Unanswered> {
        let revisions: Vec<_> = self.items.iter().map(|item| item.post).collect();
        let mut posts = Vec::with_capacity(revisions.len());
        for (event, revision) in source.existing_events(&revisions)?.into_iter().zip(revisions) {
            match event {
                Some(TimelineEvent::Post(post)) => posts.push(post),
                None => {}
                Some(_) => return Err(MissingEvent { revision }.into()),
            }
        }
        Ok(posts)
    }
}
