//! Reading feeds: pages of what is in them.
//!
//! Nothing of a feed is stored. Each read comes in two forms: one that uses only memory and says
//! when that does not do, or not soon, and one that may read the index and the log and blocks while
//! it does.

use std::sync::Arc;

use super::merge::{self, Next};
use super::rules::{Entry, Further, Lens, Looked, Moment, Pulled};
use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::source::{Beyond, FromIndex, MemoryOnly};
use crate::state::reads::{Cancellation, ReadError, Reading};
use crate::state::timelines::posts::MarkLookup;
use crate::state::users::UserIx;
use crate::state::{State, TimelineEvent};

/// Which page of which feed.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Whose feed.
    pub user: UserId,
    /// The page has the newest items before this.
    pub before: Revision,
    /// How many items at most.
    pub items_max: usize,
    /// Whether the user's own posts are in it.
    pub with_own: bool,
    /// Whether all replies of those who are followed are in it, and not only those to the user and
    /// to others who are followed.
    pub all_replies: bool,
}

/// Which page of what one author published.
#[derive(Clone, Debug)]
pub struct AuthorPageQuery {
    /// Who looks.
    pub viewer: UserId,
    /// Whose posts.
    pub author: UserId,
    /// The page has the newest items before this.
    pub before: Revision,
    /// How many items at most.
    pub items_max: usize,
    /// Whether replies are in it, those in threads of the author's own among them.
    pub with_replies: bool,
    /// Whether reposts are in it.
    pub with_reposts: bool,
}

/// A page of a feed.
#[derive(Debug)]
pub struct FeedPage {
    /// Its items, newest first.
    pub items: Vec<PageItem>,
    /// If older items may follow: they come before this.
    pub next: Option<Revision>,
    /// The position that the page shows: all up to it, and nothing after it.
    pub at: Revision,
}

/// An item of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageItem {
    /// Its place in the feed.
    pub revision: Revision,
    /// The place of its post in the log, which is another if it was reposted.
    pub post: Revision,
    /// Who reposted it, if that is why it is here.
    pub reposted_by: Option<UserId>,
}

impl State {
    /// One page of a feed; `None` if a part of it is not in memory, or too far back to look for
    /// it where that would hold up others.
    #[must_use]
    pub fn feed_page_at_hand(&self, query: &PageQuery) -> Option<FeedPage> {
        self.page(query, &self.memory_only()).ok()
    }

    /// One page of an author's posts; `None` as [`State::feed_page_at_hand`].
    #[must_use]
    pub fn author_page_at_hand(&self, query: &AuthorPageQuery) -> Option<FeedPage> {
        self.author_page_of(query, &self.memory_only()).ok()
    }

    /// Whose posts are in `user`'s feed: of those whom they follow all but whom they mute. In no
    /// particular order.
    #[must_use]
    pub fn feed_authors(&self, user: &UserId) -> Vec<UserId> {
        let Some(lens) = Lens::new(self, user, false, false) else { return Vec::new() };
        lens.authors(Revision::MAX).map(|(author, _)| self.ids.name(author)).collect()
    }

    pub(crate) fn memory_only(&self) -> MemoryOnly<'_> {
        MemoryOnly::new(&self.posts, self.looks_max)
    }

    pub(crate) fn beyond(&self) -> FromIndex<'_> {
        self.beyond_for(Cancellation::default())
    }

    fn beyond_for(&self, caller: Cancellation) -> FromIndex<'_> {
        let lists = (&self.posts_of, &self.posts);
        FromIndex::new(self.index().map(Arc::as_ref), lists, self.looks_max, caller)
    }

    fn page<B: Beyond>(&self, query: &PageQuery, beyond: &B) -> Result<FeedPage, B::Error> {
        // Read before the edges: what they show is then at least as new.
        let applied = self.applied();
        let Some(lens) = Lens::new(self, &query.user, query.with_own, query.all_replies) else {
            return Ok(FeedPage { items: Vec::new(), next: None, at: applied });
        };
        let at = applied.max(lens.changed_at());
        let mut walk = lens.walk(Mark::before(query.before.min(at.next())), Moment::NOW, beyond)?;
        self.fill(query.items_max, at, || walk.next())
    }

    fn author_page_of<B: Beyond>(
        &self,
        query: &AuthorPageQuery,
        beyond: &B,
    ) -> Result<FeedPage, B::Error> {
        let at = self.applied();
        let Some(author) = self.ids.get(&query.author) else {
            return Ok(FeedPage { items: Vec::new(), next: None, at });
        };
        let before = Mark::before(query.before.min(at.next()));
        let marks = self.newest_first(std::iter::once(author), before, beyond)?;
        let mut marks = Looked::new(marks, beyond);
        let is_gone = |revision| self.hidden.retracted(revision).is_some();
        let is_asked_for = |mark: Mark| match mark.kind() {
            MarkKind::Post | MarkKind::Conditional => !is_gone(mark.revision()),
            MarkKind::Repost => query.with_reposts && !is_gone(mark.revision()),
            MarkKind::Change => false,
        };
        // A mark does not say whether a post is a reply.
        let needs_event = |mark: Mark, _| match mark.kind() {
            MarkKind::Post | MarkKind::Conditional => !query.with_replies && is_asked_for(mark),
            MarkKind::Repost => is_asked_for(mark),
            MarkKind::Change => false,
        };
        let (mut looked, mut reached) = (0, before.revision());
        self.fill(query.items_max, at, || {
            while looked < beyond.looks_max() {
                let pulled = marks.next(needs_event)?;
                let Some(Pulled { mark, event, .. }) = pulled else { return Ok(Further::End) };
                let revision = mark.revision();
                (looked, reached) = (looked + 1, revision);
                let entry = match event {
                    _ if !is_asked_for(mark) => None,
                    Some(TimelineEvent::Post(post)) if post.content.reply_to.is_some() => None,
                    None | Some(TimelineEvent::Post(_)) => {
                        let post = revision;
                        Some(Entry { revision, post, reposted_by: None, is_gone: false })
                    }
                    Some(TimelineEvent::Repost(repost)) => {
                        let post = repost.post.id.revision();
                        let is_shown =
                            !is_gone(post) && !self.are_apart(&query.viewer, &repost.post.author);
                        let reposted_by = Some(author);
                        is_shown.then_some(Entry { revision, post, reposted_by, is_gone: false })
                    }
                    Some(_) => None,
                };
                if let Some(entry) = entry {
                    return Ok(Further::Entry(entry));
                }
                beyond.pass_over(1)?;
            }
            Ok(Further::Enough(reached))
        })
    }

    /// A page of what `next` gives.
    fn fill<E>(
        &self,
        items_max: usize,
        at: Revision,
        mut next: impl FnMut() -> Result<Further, E>,
    ) -> Result<FeedPage, E> {
        let mut items = Vec::new();
        let next = loop {
            match next()? {
                // One beyond the page tells whether there is another.
                Further::Entry(entry) if items.len() == items_max => {
                    break Some(entry.revision.next());
                }
                Further::Entry(Entry { revision, post, reposted_by, .. }) => {
                    let reposted_by = reposted_by.map(|reposter| self.ids.name(reposter));
                    items.push(PageItem { revision, post, reposted_by });
                }
                Further::Enough(before) => break Some(before),
                Further::End => break None,
            }
        };
        Ok(FeedPage { items, next, at })
    }

    /// All marks of `authors` before `before`, newest first.
    pub(crate) fn newest_first<'a, B: Beyond>(
        &'a self,
        authors: impl Iterator<Item = UserIx>,
        before: Mark,
        beyond: &'a B,
    ) -> Result<impl Iterator<Item = Next<UserIx, B::Error>>, B::Error> {
        let older = move |author, before| match self.posts_of.newest_before(author, before) {
            MarkLookup::Here(found) => Ok(found),
            MarkLookup::InIndex(until) => beyond.newest_before(author, before, until),
        };
        let newest = authors.filter_map(move |author| {
            let newest = older(author, before).transpose()?;
            Some(newest.map(|mark| (mark, author)))
        });
        merge::newest_first(newest, older)
    }
}

impl Reading<'_> {
    /// One page of a feed. May read the index and the log. It ends before it is full where it has
    /// looked through as much as it may: what is hidden in between belongs to that.
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn feed_page(&self, query: &PageQuery) -> Result<FeedPage, ReadError> {
        self.page(query, &self.beyond_for(self.caller().clone()))
    }

    /// One page of an author's posts. May read the index and the log, as [`Reading::feed_page`].
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn author_page(&self, query: &AuthorPageQuery) -> Result<FeedPage, ReadError> {
        self.author_page_of(query, &self.beyond_for(self.caller().clone()))
    }
}
