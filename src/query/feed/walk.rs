//! A walk through a feed, newest entry first: marks, the facts that they need, and their entries.
//!
//! ```text
//!   merged marks ──▶ MarkLoader ──▶ rules ──▶ pending: up to WINDOW entries ──▶ next entry
//!                    adds facts     entry     they decide about the repost before them
//! ```
//!
//! The walk never decides whether a mark has an entry: the [rules](super::rules) do.

use std::collections::VecDeque;

use super::merge::{self, MergedMark};
use super::rules::{FeedEntry, FeedRules, Moment, WINDOW};
use crate::model::{Mark, Revision};
use crate::query::{Source, Unanswered};
use crate::state::caches::facts::PostFacts;
use crate::state::users::UserIx;

/// Merged marks.
pub(crate) trait Marks<L>: Iterator<Item = MergedMark<L, Unanswered>> {}

impl<L, M: Iterator<Item = MergedMark<L, Unanswered>>> Marks<L> for M {}

/// All marks of `authors` before `before`, newest first.
///
/// # Errors
/// The errors of `source`.
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

/// A walk through a feed, newest entry first.
pub(crate) struct Walk<'a, M> {
    rules: &'a FeedRules<'a>,
    moment: Moment,
    source: &'a Source<'a>,
    marks: MarkLoader<'a, M, UserIx>,
    /// The number of marks that were scanned.
    scanned: usize,
    /// The position of the last of them.
    reached: Revision,
    is_at_end: bool,
    /// Entries that were read to decide about a newer one, each with the value of `scanned` then.
    pending: VecDeque<(FeedEntry, usize)>,
}

/// The next step of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WalkStep {
    /// The next entry.
    Entry(FeedEntry),
    /// The scan limit is reached. The rest of the feed is before this.
    Enough(Revision),
    /// The end of the feed.
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
            scanned: 0,
            reached: before.revision(),
            is_at_end: false,
            pending: VecDeque::new(),
        }
    }

    /// The next older entry that is shown: neither retracted nor suppressed.
    ///
    /// # Errors
    /// The errors of the source.
    pub(crate) fn next(&mut self) -> Result<WalkStep, Unanswered> {
        let scan_max = self.source.scan_max();
        while self.scanned < scan_max {
            let next = match self.pending.pop_front() {
                Some(next) => Some(next),
                None => self.next_unfiltered(scan_max)?,
            };
            match next {
                Some((entry, _)) if entry.is_retracted => self.source.skip(1)?,
                Some((entry, scanned)) if entry.reposted_by.is_some() => {
                    if !self.is_near(entry.post, scanned)? {
                        return Ok(WalkStep::Entry(entry));
                    }
                    self.source.skip(1)?;
                }
                Some((entry, _)) => return Ok(WalkStep::Entry(entry)),
                None if self.is_at_end => return Ok(WalkStep::End),
                None => {}
            }
        }
        // Pending entries are not decided yet.
        let pending = self.pending.front().map(|(entry, _)| entry.revision.next());
        Ok(WalkStep::Enough(pending.unwrap_or(self.reached)))
    }

    /// Whether `post` or a repost of it is among the next [`WINDOW`] entries, as far as the scan
    /// limit reaches from its own position. `scanned` is the number of marks that were scanned
    /// there.
    ///
    /// # Errors
    /// The errors of the source.
    pub(crate) fn is_near(&mut self, post: Revision, scanned: usize) -> Result<bool, Unanswered> {
        let scanned_max = scanned + self.source.scan_max();
        while self.pending.len() < WINDOW
            && let Some(next) = self.next_unfiltered(scanned_max)?
        {
            self.pending.push_back(next);
        }
        Ok(self.pending.iter().any(|(entry, _)| entry.post == post && !entry.is_retracted))
    }

    /// The next older entry, also if it is suppressed or retracted, and the number of scanned
    /// marks; `None` at the end of the feed, or if `scanned_max` marks are scanned.
    fn next_unfiltered(
        &mut self,
        scanned_max: usize,
    ) -> Result<Option<(FeedEntry, usize)>, Unanswered> {
        let Self { rules, moment, .. } = *self;
        let needs_facts = |mark, author| rules.needs_facts(mark, author);
        while self.scanned < scanned_max {
            let Some(LoadedMark { mark, list: author, facts }) = self.marks.next(needs_facts)?
            else {
                self.is_at_end = true;
                break;
            };
            self.scanned += 1;
            self.reached = mark.revision();
            if let Some(entry) = rules.entry(mark, author, facts.as_ref(), moment) {
                return Ok(Some((entry, self.scanned)));
            }
            self.source.skip(1)?;
        }
        Ok(None)
    }
}

/// Adds facts to marks that need them. An event whose facts are not cached is read together with the
/// events of the following marks.
pub(crate) struct MarkLoader<'a, M, L> {
    marks: M,
    source: &'a Source<'a>,
    loaded: VecDeque<LoadedMark<L>>,
}

/// A mark with its facts.
pub(crate) struct LoadedMark<L> {
    pub(crate) mark: Mark,
    /// The list that has the mark.
    pub(crate) list: L,
    /// The facts of the event of the mark, if they are needed.
    pub(crate) facts: Option<PostFacts>,
}

impl<'a, M: Marks<L>, L: Copy> MarkLoader<'a, M, L> {
    pub(crate) fn new(marks: M, source: &'a Source<'a>) -> Self {
        Self { marks, source, loaded: VecDeque::new() }
    }

    /// The next mark.
    ///
    /// # Errors
    /// The errors of the source.
    pub(crate) fn next(
        &mut self,
        needs_facts: impl Fn(Mark, L) -> bool,
    ) -> Result<Option<LoadedMark<L>>, Unanswered> {
        if let Some(loaded) = self.loaded.pop_front() {
            return Ok(Some(loaded));
        }
        let Some((mark, list)) = self.marks.next().transpose()? else { return Ok(None) };
        if !needs_facts(mark, list) {
            return Ok(Some(LoadedMark { mark, list, facts: None }));
        }
        if let Some(facts) = self.source.cached_facts(mark) {
            return Ok(Some(LoadedMark { mark, list, facts: Some(facts) }));
        }
        let more = self.marks.by_ref().take(self.source.events_at_once() - 1);
        let marks: Vec<_> =
            std::iter::once(Ok((mark, list))).chain(more).collect::<Result<_, _>>()?;
        let needed = marks.iter().filter(|&&(mark, list)| needs_facts(mark, list));
        let needed: Vec<_> = needed.map(|&(mark, _)| mark).collect();
        let mut facts = self.source.facts(&needed)?.into_iter();
        let mut needed = needed.into_iter().peekable();
        self.loaded.extend(marks.into_iter().map(|(mark, list)| {
            let is_needed = needed.next_if_eq(&mark).is_some();
            let facts = is_needed.then(|| facts.next()).flatten();
            LoadedMark { mark, list, facts }
        }));
        Ok(self.loaded.pop_front())
    }
}
