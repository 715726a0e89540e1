//! Which marks a viewer's home feed shows: the rules, in one place for pages, live streams and
//! resumed streams.
//!
//! The rules apply *as of* a moment. For a page that is now, [`Revision::MAX`]. For a stream it is
//! the event itself: a follow that began later does not count, nor somebody who was shown again later.
//! A relation that has ended is not known any more, and counts for nothing.

use super::hidden::HiddenUsers;
use super::walk::{Marks, Walk, newest_first};
use crate::model::{Change, Content, Mark, MarkKind, PostRef, ReplyTo, Revision, UserId};
use crate::query::{Source, Unanswered};
use crate::state::graph::Edges;
use crate::state::users::UserIx;
use crate::state::{Repost, State, TimelineEvent};

/// How many of a feed's next older entries hide a repost of what is among them. Counted before any
/// is hidden for that, so that nothing beyond them is ever looked at; and with those that are gone
/// since, so that what is deleted or taken back never moves another entry into or out of the window.
pub(crate) const WINDOW: usize = 40;

/// A feed as its viewer looks at it, with what the viewer has done by some moment.
#[derive(Debug)]
pub(crate) struct FeedRules<'a> {
    state: &'a State,
    pub(crate) viewer: UserIx,
    edges: Edges,
    hidden: HiddenUsers<'a>,
    with_own: bool,
    all_replies: bool,
}

/// Something that a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeedEntry {
    /// Its place in the feed.
    pub(crate) revision: Revision,
    /// The post; elsewhere in the log than here if it was reposted.
    pub(crate) post: Revision,
    /// Who reposted it.
    pub(crate) reposted_by: Option<UserIx>,
    /// Whether it was deleted or taken back: it is shown no more and hides nothing, but counts.
    pub(crate) is_gone: bool,
}

/// As of when a mark is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Follows and blocks count from before this.
    pub(crate) as_of: Revision,
    /// What was retracted before this is gone.
    pub(crate) gone_by: Revision,
}

impl Moment {
    /// Now.
    pub(crate) const NOW: Self = Self { as_of: Revision::MAX, gone_by: Revision::MAX };

    /// As the feed was at `revision`.
    pub(crate) fn at(revision: Revision) -> Self {
        Self { as_of: revision, gone_by: revision }
    }
}

impl<'a> FeedRules<'a> {
    /// `None` if the log has not named `user`: the feed is empty.
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

    /// The viewer's last change that has to do with what is shown.
    pub(crate) fn changed_at(&self) -> Revision {
        self.edges.changed_at.max(self.hidden.changed_at())
    }

    /// Whose marks the feed had as of a moment, and since when it has shown them without a break.
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

    /// Whether the feed had the marks of `author` as of a moment.
    pub(crate) fn has(&self, author: UserIx, as_of: Revision) -> bool {
        let is_followed = || self.edges.since(author).is_some_and(|since| since < as_of);
        author == self.viewer || is_followed() && self.hidden.sees_followed(author, as_of)
    }

    /// Whether it takes the event to say if `mark` of `author`'s is shown.
    pub(crate) fn needs_event(&self, mark: Mark, author: UserIx) -> bool {
        match mark.kind() {
            MarkKind::Post | MarkKind::Change => false,
            MarkKind::Conditional => author != self.viewer,
            MarkKind::Repost => true,
        }
    }

    /// The feed's entry for `mark` of `author`'s, suppressed or gone ones included. `event` is what
    /// happened there, if that is needed.
    pub(crate) fn entry(
        &self,
        mark: Mark,
        author: UserIx,
        event: Option<&TimelineEvent>,
        moment: Moment,
    ) -> Option<FeedEntry> {
        let revision = mark.revision();
        let is_gone = self.is_gone(revision, moment);
        let plain = FeedEntry { revision, post: revision, reposted_by: None, is_gone };
        match (mark.kind(), event) {
            (MarkKind::Post, _) => Some(plain),
            (MarkKind::Conditional, _) if author == self.viewer => Some(plain),
            (MarkKind::Conditional, Some(TimelineEvent::Post(post))) => {
                let Content { reply_to, quote, .. } = &post.content;
                self.shows_post(&post.author, reply_to.as_deref(), quote.as_ref(), moment)
                    .then_some(plain)
            }
            // Its text is gone since, but not before `moment`.
            (
                MarkKind::Conditional,
                Some(TimelineEvent::Other(Change::Erased { author, reply_to, quote, .. })),
            ) => self
                .shows_post(author, reply_to.as_deref(), quote.as_ref(), moment)
                .then_some(plain),
            (MarkKind::Repost, Some(TimelineEvent::Repost(repost))) => {
                let original = repost.post.id.revision();
                let is_gone = is_gone || self.is_gone(original, moment);
                let entry =
                    FeedEntry { revision, post: original, reposted_by: Some(author), is_gone };
                self.shows_repost(repost, moment).then_some(entry)
            }
            _ => None,
        }
    }

    /// Whether the viewer sees `user`.
    pub(crate) fn sees(&self, user: &UserId, moment: Moment) -> bool {
        // Whom the log has not named nobody hides.
        self.state.users.get(user).is_none_or(|user| self.hidden.sees(user, moment.as_of))
    }

    /// Whether the feed shows a post by `author`, another than the viewer, that answers and quotes
    /// these: the viewer sees those, and a reply is for the viewer, or for somebody they follow, or
    /// in a thread of its author's own; or all replies are wanted.
    fn shows_post(
        &self,
        author: &UserId,
        reply_to: Option<&ReplyTo>,
        quote: Option<&PostRef>,
        moment: Moment,
    ) -> bool {
        let sees = |post: &PostRef| self.sees(&post.author, moment);
        let is_due = |reply_to: &ReplyTo| {
            self.all_replies
                || reply_to.continues_thread_of(author)
                || self.state.users.get(&reply_to.parent.author).is_some_and(|parent| {
                    let since = self.edges.since(parent);
                    parent == self.viewer || since.is_some_and(|since| since < moment.as_of)
                })
        };
        reply_to.is_none_or(|reply_to| sees(&reply_to.parent) && is_due(reply_to))
            && quote.is_none_or(sees)
    }

    /// Whether the feed shows a repost, for all that is in the reposted post: the viewer sees its
    /// author, and whom it answers and quotes. The viewer's own posts they always see.
    fn shows_repost(&self, repost: &Repost, moment: Moment) -> bool {
        let Repost { post, answers, quotes, .. } = repost;
        if self.state.users.get(&post.author) == Some(self.viewer) {
            return true;
        }
        let mut shown = std::iter::once(&post.author).chain(answers).chain(quotes);
        shown.all(|user| self.sees(user, moment))
    }

    fn is_gone(&self, revision: Revision, moment: Moment) -> bool {
        self.state.visibility.retracted(revision).is_some_and(|at| at < moment.gone_by)
    }

    /// Walks back through the feed's entries before `before` as they were at `moment`.
    ///
    /// # Errors
    /// Those of `source`.
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

/// The users whose posts are in `user`'s feed: those whom they follow without muting them. In no
/// particular order.
pub(crate) fn feed_authors(state: &State, user: &UserId) -> Vec<UserId> {
    let Some(rules) = FeedRules::new(state, user, false, false) else { return Vec::new() };
    rules.authors(Revision::MAX).map(|(author, _)| state.users.name(author)).collect()
}
