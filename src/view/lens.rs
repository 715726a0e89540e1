//! Which marks a viewer's home feed shows: the rules, in one place for pages, streams, and what
//! streams missed.
//!
//! The rules are asked *as of* a moment. A page asks as of now, which is [`Revision::MAX`]; a
//! stream asks of each event as of that event: who was followed only later, or shown again only
//! later, does not count for it. What is not known any more, as whom the viewer has ceased to
//! follow since, counts for nothing.

use std::collections::VecDeque;

use super::View;
use super::beyond::Beyond;
use super::graph::Edges;
use super::ids::UserIx;
use super::merge::Next;
use super::posts::Happened;
use super::sight::Sight;
use crate::model::{Change, Mark, MarkKind, ReplyTo, Revision, UserId};

/// How many of a feed's next older entries hide a repost of what is among them. Counted before any
/// is hidden for that, so that nothing beyond them is ever looked at.
pub(super) const WINDOW: usize = 40;

/// A feed as its viewer looks at it, with what the viewer has done by some moment.
#[derive(Debug)]
pub(super) struct Lens<'a> {
    view: &'a View,
    pub(super) viewer: UserIx,
    edges: Edges,
    sight: Sight<'a>,
    with_own: bool,
    all_replies: bool,
}

/// Something that a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its place in the feed.
    pub(super) revision: Revision,
    /// The post; elsewhere in the log than here if it was reposted.
    pub(super) post: Revision,
    /// Who reposted it.
    pub(super) reposted_by: Option<UserIx>,
}

/// As of when a mark is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Follows and blocks count from before this.
    pub(super) as_of: Revision,
    /// What was retracted before this is gone.
    pub(super) gone_by: Revision,
}

impl Moment {
    /// Now.
    pub(super) const NOW: Self = Self { as_of: Revision::MAX, gone_by: Revision::MAX };

    /// As the feed was at `revision`.
    pub(super) fn at(revision: Revision) -> Self {
        Self { as_of: revision, gone_by: revision }
    }
}

impl<'a> Lens<'a> {
    /// `None` if the log has not named `user`: the feed is empty.
    pub(super) fn new(
        view: &'a View,
        user: &UserId,
        with_own: bool,
        all_replies: bool,
    ) -> Option<Self> {
        let viewer = view.ids.get(user)?;
        let (edges, sight) = (view.graph.edges(viewer), view.hidden.sight(viewer));
        Some(Self { view, viewer, edges, sight, with_own, all_replies })
    }

    /// The viewer's last change that has to do with what is shown.
    pub(super) fn changed_at(&self) -> Revision {
        self.edges.changed_at.max(self.sight.changed_at())
    }

    /// Whose marks the feed had as of a moment, and since when it has shown them without a break.
    pub(super) fn authors(&self, as_of: Revision) -> impl Iterator<Item = (UserIx, Revision)> {
        let followees = self
            .edges
            .iter()
            .filter(move |edge| edge.since < as_of && self.sight.has(edge.followee, as_of))
            .map(|edge| (edge.followee, edge.since.max(self.sight.shown_since(edge.followee))));
        followees.chain(self.with_own.then_some((self.viewer, Revision::ZERO)))
    }

    /// Whether the feed had the marks of `author` as of a moment.
    pub(super) fn has(&self, author: UserIx, as_of: Revision) -> bool {
        let is_followed = || self.edges.since(author).is_some_and(|since| since < as_of);
        author == self.viewer || is_followed() && self.sight.has(author, as_of)
    }

    /// Whether it takes the event to say if `mark` of `author`'s is shown.
    pub(super) fn needs_event(&self, mark: Mark, author: UserIx, moment: Moment) -> bool {
        let by_kind = match mark.kind() {
            MarkKind::Post | MarkKind::Change => false,
            MarkKind::Reply => author != self.viewer,
            MarkKind::Repost => true,
        };
        by_kind && !self.is_gone(mark.revision(), moment)
    }

    /// What the feed shows for `mark` of `author`'s, but for what is suppressed. `event` is what
    /// happened there, if that is needed.
    pub(super) fn entry(
        &self,
        mark: Mark,
        author: UserIx,
        event: Option<&Happened>,
        moment: Moment,
    ) -> Option<Entry> {
        let revision = mark.revision();
        let plain = Entry { revision, post: revision, reposted_by: None };
        if mark.kind() == MarkKind::Change || self.is_gone(revision, moment) {
            return None;
        }
        match (mark.kind(), event) {
            (MarkKind::Post, _) => Some(plain),
            (MarkKind::Reply, _) if author == self.viewer => Some(plain),
            (MarkKind::Reply, Some(Happened::Post(post))) => {
                self.shows_reply(post.content.reply_to.as_deref()?, moment).then_some(plain)
            }
            // What it said is gone since, but not before `moment`.
            (MarkKind::Reply, Some(Happened::Other(Change::Erased { reply_to, .. }))) => {
                self.shows_reply(reply_to.as_deref()?, moment).then_some(plain)
            }
            (MarkKind::Repost, Some(Happened::Repost(repost))) => {
                let original = repost.post.id.revision();
                let is_shown =
                    self.sees(&repost.post.author, moment) && !self.is_gone(original, moment);
                is_shown.then_some(Entry { revision, post: original, reposted_by: Some(author) })
            }
            _ => None,
        }
    }

    /// Whether the viewer sees `user`.
    pub(super) fn sees(&self, user: &UserId, moment: Moment) -> bool {
        // Whom the log has not named nobody hides.
        self.view.ids.get(user).is_none_or(|user| self.sight.sees(user, moment.as_of))
    }

    fn shows_reply(&self, reply_to: &ReplyTo, moment: Moment) -> bool {
        let Some(parent) = self.view.ids.get(&reply_to.parent.author) else { return false };
        if parent == self.viewer {
            return true;
        }
        let follows = || self.edges.since(parent).is_some_and(|since| since < moment.as_of);
        self.sight.sees(parent, moment.as_of) && (self.all_replies || follows())
    }

    fn is_gone(&self, revision: Revision, moment: Moment) -> bool {
        self.view.hidden.retracted(revision).is_some_and(|at| at < moment.gone_by)
    }

    /// The feed's entries before `before` as they were at `moment`, newest first.
    ///
    /// # Errors
    /// That of `beyond`.
    pub(super) fn walk<'b, B: Beyond>(
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
            ahead: VecDeque::new(),
        })
    }
}

/// Merged marks.
pub(super) trait Marks<L, E>: Iterator<Item = Next<L, E>> {}

impl<L, E, M: Iterator<Item = Next<L, E>>> Marks<L, E> for M {}

/// A way back through a feed, entry by entry.
pub(super) struct Walk<'a, B, M> {
    lens: &'a Lens<'a>,
    moment: Moment,
    beyond: &'a B,
    marks: Looked<'a, B, M, UserIx>,
    /// Entries that were looked at for what they suppress.
    ahead: VecDeque<Entry>,
}

impl<B: Beyond, M: Marks<UserIx, B::Error>> Walk<'_, B, M> {
    /// The next older entry that is not suppressed.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, B::Error> {
        loop {
            let next = match self.ahead.pop_front() {
                Some(entry) => Some(entry),
                None => self.next_of_all()?,
            };
            match next {
                Some(entry) if entry.reposted_by.is_some() && self.is_near(entry.post)? => {
                    self.beyond.pass_over(1)?;
                }
                next => return Ok(next),
            }
        }
    }

    /// Whether `post` or a repost of it is among the next entries.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(super) fn is_near(&mut self, post: Revision) -> Result<bool, B::Error> {
        while self.ahead.len() < WINDOW
            && let Some(entry) = self.next_of_all()?
        {
            self.ahead.push_back(entry);
        }
        Ok(self.ahead.iter().any(|entry| entry.post == post))
    }

    /// The next older entry, suppressed or not.
    fn next_of_all(&mut self) -> Result<Option<Entry>, B::Error> {
        let Self { lens, moment, .. } = *self;
        let needs_event = |mark, author| lens.needs_event(mark, author, moment);
        while let Some(Pulled { mark, list: author, event }) = self.marks.next(needs_event)? {
            let entry = lens.entry(mark, author, event.as_ref(), moment);
            if entry.is_some() {
                return Ok(entry);
            }
            self.beyond.pass_over(1)?;
        }
        Ok(None)
    }
}

/// Marks with what happened there, where that is needed. If it is not at hand, that of the marks
/// that follow is read with it.
pub(super) struct Looked<'a, B, M, L> {
    marks: M,
    beyond: &'a B,
    pulled: VecDeque<Pulled<L>>,
}

/// A mark.
pub(super) struct Pulled<L> {
    pub(super) mark: Mark,
    /// The list that it is in.
    pub(super) list: L,
    /// What happened, if that is needed.
    pub(super) event: Option<Happened>,
}

impl<'a, B, M, L> Looked<'a, B, M, L>
where
    B: Beyond,
    M: Marks<L, B::Error>,
    L: Copy,
{
    pub(super) fn new(marks: M, beyond: &'a B) -> Self {
        Self { marks, beyond, pulled: VecDeque::new() }
    }

    /// The next mark.
    ///
    /// # Errors
    /// That of what knows what memory does not.
    pub(super) fn next(
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
