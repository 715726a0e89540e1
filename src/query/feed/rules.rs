//! Which marks a viewer's home feed shows: the rules, in one place for pages, streams, and what
//! streams missed.
//!
//! The rules are asked *as of* a moment. A page asks as of now, which is [`Revision::MAX`]; a
//! stream asks of each event as of that event: who was followed only later, or shown again only
//! later, does not count for it. What is not known any more, as whom the viewer has ceased to
//! follow since, counts for nothing.

use std::collections::VecDeque;

use super::hidden::Sight;
use super::merge::Next;
use crate::model::{Change, Content, Mark, MarkKind, PostRef, ReplyTo, Revision, UserId};
use crate::query::source::Beyond;
use crate::state::graph::Edges;
use crate::state::users::UserIx;
use crate::state::{Repost, State, TimelineEvent};

/// How many of a feed's next older entries hide a repost of what is among them. Counted before any
/// is hidden for that, so that nothing beyond them is ever looked at; and with those that are gone
/// since, so that what is deleted or taken back never moves another entry into or out of the window.
pub(crate) const WINDOW: usize = 40;

/// A feed as its viewer looks at it, with what the viewer has done by some moment.
#[derive(Debug)]
pub(crate) struct Lens<'a> {
    view: &'a State,
    pub(crate) viewer: UserIx,
    edges: Edges,
    sight: Sight<'a>,
    with_own: bool,
    all_replies: bool,
}

/// Something that a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
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

impl<'a> Lens<'a> {
    /// `None` if the log has not named `user`: the feed is empty.
    pub(crate) fn new(
        view: &'a State,
        user: &UserId,
        with_own: bool,
        all_replies: bool,
    ) -> Option<Self> {
        let viewer = view.ids.get(user)?;
        let (edges, sight) = (view.graph.edges(viewer), view.hidden.sight(viewer));
        Some(Self { view, viewer, edges, sight, with_own, all_replies })
    }

    /// The viewer's last change that has to do with what is shown.
    pub(crate) fn changed_at(&self) -> Revision {
        self.edges.changed_at.max(self.sight.changed_at())
    }

    /// Whose marks the feed had as of a moment, and since when it has shown them without a break.
    pub(crate) fn authors(&self, as_of: Revision) -> impl Iterator<Item = (UserIx, Revision)> {
        let followees = self
            .edges
            .iter()
            .filter(move |edge| edge.since < as_of && self.sight.has(edge.followee, as_of))
            .map(|edge| (edge.followee, edge.since.max(self.sight.shown_since(edge.followee))));
        followees.chain(self.with_own.then_some((self.viewer, Revision::ZERO)))
    }

    /// Whether the feed had the marks of `author` as of a moment.
    pub(crate) fn has(&self, author: UserIx, as_of: Revision) -> bool {
        let is_followed = || self.edges.since(author).is_some_and(|since| since < as_of);
        author == self.viewer || is_followed() && self.sight.has(author, as_of)
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
    ) -> Option<Entry> {
        let revision = mark.revision();
        let is_gone = self.is_gone(revision, moment);
        let plain = Entry { revision, post: revision, reposted_by: None, is_gone };
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
                let entry = Entry { revision, post: original, reposted_by: Some(author), is_gone };
                self.shows_repost(repost, moment).then_some(entry)
            }
            _ => None,
        }
    }

    /// Whether the viewer sees `user`.
    pub(crate) fn sees(&self, user: &UserId, moment: Moment) -> bool {
        // Whom the log has not named nobody hides.
        self.view.ids.get(user).is_none_or(|user| self.sight.sees(user, moment.as_of))
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
                || self.view.ids.get(&reply_to.parent.author).is_some_and(|parent| {
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
        if self.view.ids.get(&post.author) == Some(self.viewer) {
            return true;
        }
        let mut shown = std::iter::once(&post.author).chain(answers).chain(quotes);
        shown.all(|user| self.sees(user, moment))
    }

    fn is_gone(&self, revision: Revision, moment: Moment) -> bool {
        self.view.hidden.retracted(revision).is_some_and(|at| at < moment.gone_by)
    }

    /// The feed's entries before `before` as they were at `moment`, newest first.
    ///
    /// # Errors
    /// That of `beyond`.
    pub(crate) fn walk<'b, B: Beyond>(
        &'b self,
        before: Mark,
        moment: Moment,
        beyond: &'b B,
    ) -> Result<Walk<'b, B, impl Marks<UserIx, B::Error>>, B::Error> {
        let authors = self.authors(moment.as_of).map(|(author, _)| author);
        let marks = self.view.newest_first(authors, before, beyond)?;
        Ok(Walk {
            marks: Looked::new(marks, beyond),
            lens: self,
            moment,
            beyond,
            looked: 0,
            reached: before.revision(),
            is_over: false,
            ahead: VecDeque::new(),
        })
    }
}

/// Merged marks.
pub(crate) trait Marks<L, E>: Iterator<Item = Next<L, E>> {}

impl<L, E, M: Iterator<Item = Next<L, E>>> Marks<L, E> for M {}

/// A way back through a feed, entry by entry.
pub(crate) struct Walk<'a, B, M> {
    lens: &'a Lens<'a>,
    moment: Moment,
    beyond: &'a B,
    marks: Looked<'a, B, M, UserIx>,
    /// How many marks were looked at.
    looked: usize,
    /// Where the last of them is.
    reached: Revision,
    is_over: bool,
    /// Entries that were looked at for what they suppress, each with how many marks had been looked
    /// at by then.
    ahead: VecDeque<(Entry, usize)>,
}

/// What comes next on a way back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Further {
    /// This.
    Entry(Entry),
    /// As much was looked at as may be: what was not comes before this.
    Enough(Revision),
    /// Nothing.
    End,
}

impl<B: Beyond, M: Marks<UserIx, B::Error>> Walk<'_, B, M> {
    /// The next older entry that is not suppressed.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(crate) fn next(&mut self) -> Result<Further, B::Error> {
        let looks_max = self.beyond.looks_max();
        while self.looked < looks_max {
            let next = match self.ahead.pop_front() {
                Some(next) => Some(next),
                None => self.next_of_all(looks_max)?,
            };
            match next {
                Some((entry, _)) if entry.is_gone => self.beyond.pass_over(1)?,
                Some((entry, looked)) if entry.reposted_by.is_some() => {
                    if !self.is_near(entry.post, looked)? {
                        return Ok(Further::Entry(entry));
                    }
                    self.beyond.pass_over(1)?;
                }
                Some((entry, _)) => return Ok(Further::Entry(entry)),
                None if self.is_over => return Ok(Further::End),
                None => {}
            }
        }
        // What is ahead is not decided yet.
        let ahead = self.ahead.front().map(|(entry, _)| entry.revision.next());
        Ok(Further::Enough(ahead.unwrap_or(self.reached)))
    }

    /// Whether `post` or a repost of it is among the next entries, as far as may be looked on from
    /// its own place, where so many had been `looked` at.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(crate) fn is_near(&mut self, post: Revision, looked: usize) -> Result<bool, B::Error> {
        let looked_max = looked.saturating_add(self.beyond.looks_max());
        while self.ahead.len() < WINDOW
            && let Some(next) = self.next_of_all(looked_max)?
        {
            self.ahead.push_back(next);
        }
        Ok(self.ahead.iter().any(|(entry, _)| entry.post == post && !entry.is_gone))
    }

    /// The next older entry, suppressed and gone ones included, and how many were looked at; nothing
    /// if none is left, or if so many were looked at already.
    fn next_of_all(&mut self, looked_max: usize) -> Result<Option<(Entry, usize)>, B::Error> {
        let Self { lens, moment, .. } = *self;
        let needs_event = |mark, author| lens.needs_event(mark, author);
        while self.looked < looked_max {
            let Some(Pulled { mark, list: author, event }) = self.marks.next(needs_event)? else {
                self.is_over = true;
                break;
            };
            self.looked += 1;
            self.reached = mark.revision();
            if let Some(entry) = lens.entry(mark, author, event.as_ref(), moment) {
                return Ok(Some((entry, self.looked)));
            }
            self.beyond.pass_over(1)?;
        }
        Ok(None)
    }
}

/// Marks with what happened there, where that is needed. If it is not at hand, that of the marks
/// that follow is read with it.
pub(crate) struct Looked<'a, B, M, L> {
    marks: M,
    beyond: &'a B,
    pulled: VecDeque<Pulled<L>>,
}

/// A mark.
pub(crate) struct Pulled<L> {
    pub(crate) mark: Mark,
    /// The list that it is in.
    pub(crate) list: L,
    /// What happened, if that is needed.
    pub(crate) event: Option<TimelineEvent>,
}

impl<'a, B, M, L> Looked<'a, B, M, L>
where
    B: Beyond,
    M: Marks<L, B::Error>,
    L: Copy,
{
    pub(crate) fn new(marks: M, beyond: &'a B) -> Self {
        Self { marks, beyond, pulled: VecDeque::new() }
    }

    /// The next mark.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(crate) fn next(
        &mut self,
        needs_event: impl Fn(Mark, L) -> bool,
    ) -> Result<Option<Pulled<L>>, B::Error> {
        if let Some(pulled) = self.pulled.pop_front() {
            return Ok(Some(pulled));
        }
        let Some((mark, list)) = self.marks.next().transpose()? else { return Ok(None) };
        if !needs_event(mark, list) {
            return Ok(Some(Pulled { mark, list, event: None }));
        }
        if let Some(event) = self.beyond.at_hand(mark.revision()) {
            return Ok(Some(Pulled { mark, list, event: Some(event) }));
        }
        let more = self.marks.by_ref().take(self.beyond.events_at_once() - 1);
        let marks: Vec<_> =
            std::iter::once(Ok((mark, list))).chain(more).collect::<Result<_, _>>()?;
        let needed: Vec<_> = marks
            .iter()
            .filter(|&&(mark, list)| needs_event(mark, list))
            .map(|&(mark, _)| mark)
            .collect();
        let mut events = self.beyond.happened(&needed)?.into_iter();
        let mut needed = needed.into_iter().peekable();
        self.pulled.extend(marks.into_iter().map(|(mark, list)| {
            let is_needed = needed.next_if_eq(&mark).is_some();
            let event = is_needed.then(|| events.next()).flatten();
            Pulled { mark, list, event }
        }));
        Ok(self.pulled.pop_front())
    }
}
