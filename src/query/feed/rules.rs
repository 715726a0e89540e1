//! The rules of a home feed: for each mark whether a viewer's feed shows it. Pages, live streams
//! and resumed streams use the same rules.
//!
//! The rules apply at a [`Moment`]. For a page that is now. For a stream it is the revision of the
//! event: later follows do not count, and a user who was shown again later is still hidden. A
//! relation that has ended is not stored, so it never counts.

use super::hidden::HiddenUsers;
use super::walk::{Marks, Walk, newest_first};
use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::{Source, Unanswered};
use crate::state::State;
use crate::state::caches::facts::PostFacts;
use crate::state::graph::Edges;
use crate::state::users::UserIx;

/// The number of next older entries that hide a repost of a post among them. Entries are counted
/// before any is hidden for that, so that a decision never needs older ones; and retracted entries
/// are counted, so that a retraction never moves another entry into or out of the window.
pub(crate) const WINDOW: usize = 40;

/// The rules of one feed: the viewer's edges and options.
#[derive(Debug)]
pub(crate) struct FeedRules<'a> {
    state: &'a State,
    pub(crate) viewer: UserIx,
    edges: Edges,
    hidden: HiddenUsers<'a>,
    with_own: bool,
    all_replies: bool,
}

/// An entry of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeedEntry {
    /// The position in the feed.
    pub(crate) revision: Revision,
    /// The revision of the post, which differs from the position for a repost.
    pub(crate) post: Revision,
    /// The user who reposted; `None` if the entry is the post itself.
    pub(crate) reposted_by: Option<UserIx>,
    /// Whether the post was deleted or the repost removed. Such an entry is not shown and hides
    /// nothing, but counts in the [`WINDOW`].
    pub(crate) is_retracted: bool,
}

/// The time for which the rules decide, as revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Follows, and ends of blocks and mutes, count if they are before this.
    pub(crate) as_of: Revision,
    /// Retractions count if they are before this.
    pub(crate) retracted_before: Revision,
}

impl Moment {
    pub(crate) const NOW: Self = Self { as_of: Revision::MAX, retracted_before: Revision::MAX };

    /// The feed as it was at `revision`.
    pub(crate) fn at(revision: Revision) -> Self {
        Self { as_of: revision, retracted_before: revision }
    }
}

impl<'a> FeedRules<'a> {
    /// `None` if `user` does not occur in the log: the feed is empty.
    pub(crate) fn new(
        state: &'a State,
        user: &UserId,
        with_own: bool,
        all_replies: bool,
    ) -> Option<Self> {
        let viewer = state.users.get(user)?;
        let (edges, hidden) =
            (state.graph.edges(viewer), HiddenUsers::of(&state.visibility, viewer));
        Some(Self { state, viewer, edges, hidden, with_own, all_replies })
    }

    /// The revision of the viewer's last follow, unfollow, mute or unmute.
    pub(crate) fn changed_at(&self) -> Revision {
        self.edges.changed_at.max(self.hidden.changed_at())
    }

    /// The authors of the feed at `as_of`, each with the revision since which it has shown them
    /// without a break.
    pub(crate) fn authors(&self, as_of: Revision) -> impl Iterator<Item = (UserIx, Revision)> {
        let followees = self
            .edges
            .iter()
            .filter(move |edge| {
                edge.since < as_of && self.hidden.sees_followed(edge.followee, as_of)
            })
            .map(|edge| (edge.followee, edge.since.max(self.hidden.shown_since(edge.followee))));
        followees.chain(self.with_own.then_some((self.viewer, Revision::ZERO)))
    }

    /// Whether `author` was an author of the feed at `as_of`.
    pub(crate) fn has(&self, author: UserIx, as_of: Revision) -> bool {
        let is_followed = || self.edges.since(author).is_some_and(|since| since < as_of);
        author == self.viewer || is_followed() && self.hidden.sees_followed(author, as_of)
    }

    /// Whether facts are needed to decide if `mark` of `author` is shown.
    pub(crate) fn needs_facts(&self, mark: Mark, author: UserIx) -> bool {
        match mark.kind() {
            MarkKind::Post | MarkKind::Change => false,
            MarkKind::Conditional => author != self.viewer,
            MarkKind::Repost => true,
        }
    }

    /// The entry for `mark` of `author`, even if it is retracted or another entry suppresses it.
    /// `facts` are of the event of the mark, if [`FeedRules::needs_facts`].
    pub(crate) fn entry(
        &self,
        mark: Mark,
        author: UserIx,
        facts: Option<&PostFacts>,
        moment: Moment,
    ) -> Option<FeedEntry> {
        let revision = mark.revision();
        let is_retracted = self.is_retracted(revision, moment);
        let plain = FeedEntry { revision, post: revision, reposted_by: None, is_retracted };
        match (mark.kind(), facts) {
            (MarkKind::Post, _) => Some(plain),
            (MarkKind::Conditional, _) if author == self.viewer => Some(plain),
            (MarkKind::Conditional, Some(facts)) => self.shows_post(facts, moment).then_some(plain),
            (MarkKind::Repost, Some(facts)) => {
                // The post may have been erased after `moment` only.
                let is_retracted = is_retracted || self.is_retracted(facts.post, moment);
                let (post, reposted_by) = (facts.post, Some(author));
                let entry = FeedEntry { revision, post, reposted_by, is_retracted };
                self.shows_repost(facts, moment).then_some(entry)
            }
            (MarkKind::Change, _) | (_, None) => None,
        }
    }

    /// Whether the viewer sees `user`.
    pub(crate) fn sees(&self, user: UserIx, moment: Moment) -> bool {
        self.hidden.sees_all() || self.hidden.sees(user, moment.as_of)
    }

    /// Whether the feed shows a post whose author is followed. The viewer must see the authors of
    /// the parent and of the quoted post. A reply must be to the viewer or to a user whom they
    /// follow, as is its author; unless the feed has all replies.
    fn shows_post(&self, facts: &PostFacts, moment: Moment) -> bool {
        let is_due = |parent| {
            self.all_replies
                || parent == self.viewer
                || self.edges.since(parent).is_some_and(|since| since < moment.as_of)
        };
        facts.parent_author.is_none_or(|parent| self.sees(parent, moment) && is_due(parent))
            && facts.quoted_author.is_none_or(|quoted| self.sees(quoted, moment))
    }

    /// Whether the feed shows a repost. The viewer must see the authors of the reposted post, of
    /// its parent, and of the post that it quotes; unless the reposted post is the viewer's own.
    fn shows_repost(&self, facts: &PostFacts, moment: Moment) -> bool {
        let mut authors =
            std::iter::once(facts.author).chain(facts.parent_author).chain(facts.quoted_author);
        self.hidden.sees_all()
            || facts.author == self.viewer
            || authors.all(|user| self.sees(user, moment))
    }

    fn is_retracted(&self, revision: Revision, moment: Moment) -> bool {
        self.state.visibility.retracted(revision).is_some_and(|at| at < moment.retracted_before)
    }

    /// A walk through the entries before `before`, as the feed was at `moment`.
    ///
    /// # Errors
    /// The errors of `source`.
    pub(crate) fn walk<'b>(
        &'b self,
        before: Mark,
        moment: Moment,
        source: &'b Source<'b>,
    ) -> Result<Walk<'b, impl Marks<UserIx>>, Unanswered> {
        let authors = self.authors(moment.as_of).map(|(author, _)| author);
        let marks = newest_first(source, authors, before)?;
        Ok(Walk::new(self, marks, before, moment, source))
    }
}

/// The authors of `user`'s feed now, without `user`: followed and not muted. The order is not
/// defined.
pub(crate) fn feed_authors(state: &State, user: &UserId) -> Vec<UserId> {
    let Some(rules) = FeedRules::new(state, user, false, false) else { return Vec::new() };
    rules.authors(Revision::MAX).map(|(author, _)| state.users.name(author)).collect()
}
