//! Walking back through a feed: marks, the events that they need, and the entries that they make.
//!
//! Which marks make an entry say the [rules](super::rules).

use std::collections::VecDeque;

use super::merge::{self, MergedMark};
use super::rules::{FeedEntry, FeedRules, Moment, WINDOW};
use crate::model::{Mark, Revision};
use crate::query::{Source, Unanswered};
use crate::state::TimelineEvent;
use crate::state::users::UserIx;

/// Merged marks.
pub(crate) trait Marks<L>: Iterator<Item = MergedMark<L, Unanswered>> {}

impl<L, M: Iterator<Item = MergedMark<L, Unanswered>>> Marks<L> for M {}

/// All marks of `authors` before `before`, newest first.
///
/// # Errors
/// Those of `source`.
pub(crate) fn newest_first<'a>(
    source: &'a Source<'a>,
    authors: impl Iterator<Item = UserIx>,
    before: Mark,
) -> Result<impl Marks<UserIx>, Unanswered> {
    let older = move |author, before| source.newest_before(author, before);
    let newest = authors.filter_map(move |author| {
        let newest = older(author, before).transpose()?;
        Some(newest.map(|mark| (mark, author)))
    });
    merge::newest_first(newest, older)
}

/// A walk back through a feed, entry by entry.
pub(crate) struct Walk<'a, M> {
    rules: &'a FeedRules<'a>,
    moment: Moment,
    source: &'a Source<'a>,
    marks: MarkLoader<'a, M, UserIx>,
    /// How many marks were looked at.
    looked: usize,
    /// Where the last of them is.
    reached: Revision,
    is_over: bool,
    /// Entries that were looked at for what they suppress, each with how many marks had been looked
    /// at by then.
    ahead: VecDeque<(FeedEntry, usize)>,
}

/// The next step of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WalkStep {
    /// An entry.
    Entry(FeedEntry),
    /// As many marks were looked at as may be; the others come before this.
    Enough(Revision),
    /// There are no more.
    End,
}

impl<'a, M: Marks<UserIx>> Walk<'a, M> {
    pub(super) fn new(
        rules: &'a FeedRules<'a>,
        marks: M,
        before: Mark,
        moment: Moment,
        source: &'a Source<'a>,
    ) -> Self {
        Self {
            marks: MarkLoader::new(marks, source),
            rules,
            moment,
            source,
            looked: 0,
            reached: before.revision(),
            is_over: false,
            ahead: VecDeque::new(),
        }
    }

    /// The next older entry that is not suppressed.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn next(&mut self) -> Result<WalkStep, Unanswered> {
        let looks_max = self.source.looks_max();
        while self.looked < looks_max {
            let next = match self.ahead.pop_front() {
                Some(next) => Some(next),
                None => self.next_of_all(looks_max)?,
            };
            match next {
                Some((entry, _)) if entry.is_gone => self.source.skip(1)?,
                Some((entry, looked)) if entry.reposted_by.is_some() => {
                    if !self.is_near(entry.post, looked)? {
                        return Ok(WalkStep::Entry(entry));
                    }
                    self.source.skip(1)?;
                }
                Some((entry, _)) => return Ok(WalkStep::Entry(entry)),
                None if self.is_over => return Ok(WalkStep::End),
                None => {}
            }
        }
        // What is ahead is not decided yet.
        let ahead = self.ahead.front().map(|(entry, _)| entry.revision.next());
        Ok(WalkStep::Enough(ahead.unwrap_or(self.reached)))
    }

    /// Whether `post` or a repost of it is among the next entries, as far as may be looked on from
    /// its own position, where so many had been `looked` at.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn is_near(&mut self, post: Revision, looked: usize) -> Result<bool, Unanswered> {
        let looked_max = looked.saturating_add(self.source.looks_max());
        while self.ahead.len() < WINDOW
            && let Some(next) = self.next_of_all(looked_max)?
        {
            self.ahead.push_back(next);
        }
        Ok(self.ahead.iter().any(|(entry, _)| entry.post == post && !entry.is_gone))
    }

    /// The next older entry, suppressed and gone ones included, and how many were looked at; `None`
    /// if none is left, or if `looked_max` were looked at already.
    fn next_of_all(&mut self, looked_max: usize) -> Result<Option<(FeedEntry, usize)>, Unanswered> {
        let Self { rules, moment, .. } = *self;
        let needs_event = |mark, author| rules.needs_event(mark, author);
        while self.looked < looked_max {
            let Some(LoadedMark { mark, list: author, event }) = self.marks.next(needs_event)?
            else {
                self.is_over = true;
                break;
            };
            self.looked += 1;
            self.reached = mark.revision();
            if let Some(entry) = rules.entry(mark, author, event.as_ref(), moment) {
                return Ok(Some((entry, self.looked)));
            }
            self.source.skip(1)?;
        }
        Ok(None)
    }
}

/// Marks with their events, where those are needed. If one is not cached, the events of the marks
/// that follow are read with it.
pub(crate) struct MarkLoader<'a, M, L> {
    marks: M,
    source: &'a Source<'a>,
    loaded: VecDeque<LoadedMark<L>>,
}

/// A mark.
pub(crate) struct LoadedMark<L> {
    pub(crate) mark: Mark,
    /// The list that it is in.
    pub(crate) list: L,
    /// The event, if it is needed.
    pub(crate) event: Option<TimelineEvent>,
}

impl<'a, M: Marks<L>, L: Copy> MarkLoader<'a, M, L> {
    pub(crate) fn new(marks: M, source: &'a Source<'a>) -> Self {
        Self { marks, source, loaded: VecDeque::new() }
    }

    /// The next mark.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn next(
        &mut self,
        needs_event: impl Fn(Mark, L) -> bool,
    ) -> Result<Option<LoadedMark<L>>, Unanswered> {
        if let Some(loaded) = self.loaded.pop_front() {
            return Ok(Some(loaded));
        }
        let Some((mark, list)) = self.marks.next().transpose()? else { return Ok(None) };
        if !needs_event(mark, list) {
            return Ok(Some(LoadedMark { mark, list, event: None }));
        }
        if let Some(event) = self.source.cached_event(mark.revision()) {
            return Ok(Some(LoadedMark { mark, list, event: Some(event) }));
        }
        let more = self.marks.by_ref().take(self.source.events_at_once() - 1);
        let marks: Vec<_> =
            std::iter::once(Ok((mark, list))).chain(more).collect::<Result<_, _>>()?;
        let needed = marks.iter().filter(|&&(mark, list)| needs_event(mark, list));
        let needed: Vec<_> = needed.map(|&(mark, _)| mark).collect();
        let mut events = self.source.events_of(&needed)?.into_iter();
        let mut needed = needed.into_iter().peekable();
        self.loaded.extend(marks.into_iter().map(|(mark, list)| {
            let is_needed = needed.next_if_eq(&mark).is_some();
            let event = is_needed.then(|| events.next()).flatten();
            LoadedMark { mark, list, event }
        }));
        Ok(self.loaded.pop_front())
    }
}
