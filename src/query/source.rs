//! What is asked for where memory ends: nothing, or the index.
//!
//! A read is written once and made in two ways. The one never blocks, and ends where it would have
//! to; the other reads the index.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::model::{Change, Mark, MarkKind, Revision};
use crate::state::TimelineEvent;
use crate::state::caches::posts::PostCache;
use crate::state::reads::{Cancellation, MissingEvent, ReadError};
use crate::state::timelines::posts::PostTimelines;
use crate::state::users::UserIx;
use crate::storage::{self, Index, Snapshot, TimelineKind};

/// Marks read from the index at once: one place of a table costs nearly as much as its next
/// few.
const READ_AHEAD: usize = 8;
/// Marks of an author that are taken into memory at once.
const TAKEN_IN: usize = 16;
/// Events read from the log at once: some pages of it.
const READ_EVENTS: usize = 64;
/// How much may be passed over, or looked through once more, by a read that must not take long: a
/// hundred microseconds' worth.
const PASSED_OVER_MAX: usize = 512;

/// What knows the marks that memory does not have.
pub(crate) trait Beyond {
    /// Why it does not say.
    type Error;

    /// The newest post of `author`'s before `before`. MemoryStore has all after `until`.
    fn newest_before(
        &self,
        author: UserIx,
        before: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Self::Error>;

    /// The oldest mark of `user`'s after `after`. MemoryStore has all after `until`.
    fn oldest_after(
        &self,
        history: TimelineKind,
        user: UserIx,
        after: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Self::Error>;

    /// What happened at `revision`, if that is in memory.
    fn at_hand(&self, revision: Revision) -> Option<TimelineEvent>;

    /// How many events are best asked for at once.
    fn events_at_once(&self) -> usize;

    /// What happened at each of `marks`, none of which is a change. It is what the mark says, unless
    /// it was erased since.
    fn happened(&self, marks: &[Mark]) -> Result<Vec<TimelineEvent>, Self::Error>;

    /// How many marks may be looked at for one page.
    fn looks_max(&self) -> usize;

    /// Says that `count` marks were looked at which lead to nothing.
    fn pass_over(&self, count: usize) -> Result<(), Self::Error>;
}

/// Ends the read.
#[derive(Debug)]
pub(crate) struct MemoryOnly<'a> {
    posts: &'a PostCache,
    looks_max: usize,
    passed_over: Cell<usize>,
}

impl<'a> MemoryOnly<'a> {
    pub(crate) fn new(posts: &'a PostCache, looks_max: usize) -> Self {
        Self { posts, looks_max, passed_over: Cell::new(0) }
    }
}

/// What was asked for is not in memory.
#[derive(Debug)]
pub(crate) struct NotAtHand;

impl Beyond for MemoryOnly<'_> {
    type Error = NotAtHand;

    fn newest_before(&self, _: UserIx, _: Mark, _: Mark) -> Result<Option<Mark>, NotAtHand> {
        Err(NotAtHand)
    }

    fn oldest_after(
        &self,
        _: TimelineKind,
        _: UserIx,
        _: Mark,
        _: Mark,
    ) -> Result<Option<Mark>, NotAtHand> {
        Err(NotAtHand)
    }

    fn at_hand(&self, revision: Revision) -> Option<TimelineEvent> {
        self.posts.cached(revision)
    }

    fn events_at_once(&self) -> usize {
        1
    }

    fn happened(&self, _: &[Mark]) -> Result<Vec<TimelineEvent>, NotAtHand> {
        Err(NotAtHand)
    }

    fn looks_max(&self) -> usize {
        self.looks_max
    }

    fn pass_over(&self, count: usize) -> Result<(), NotAtHand> {
        let passed_over = self.passed_over.get() + count;
        self.passed_over.set(passed_over);
        if passed_over > PASSED_OVER_MAX { Err(NotAtHand) } else { Ok(()) }
    }
}

/// ReadPool the index and the log, and blocks while it does. For one read of a feed.
#[derive(Debug)]
pub(crate) struct FromIndex<'a> {
    /// Without an index memory has everything, and nothing is asked for.
    index: Option<&'a Index>,
    posts_of: &'a PostTimelines,
    posts: &'a PostCache,
    looks_max: usize,
    caller: Cancellation,
    snapshot: RefCell<Option<Snapshot<'a>>>,
    /// By user: what was read and not asked for yet, the oldest last.
    ahead: RefCell<HashMap<(TimelineKind, UserIx), Vec<Mark>>>,
    /// By author: the same of those that are read backwards, the newest last; they have all before
    /// the mark.
    behind: RefCell<HashMap<UserIx, (Mark, Vec<Mark>)>>,
}

impl<'a> FromIndex<'a> {
    pub(crate) fn new(
        index: Option<&'a Index>,
        (posts_of, posts): (&'a PostTimelines, &'a PostCache),
        looks_max: usize,
        caller: Cancellation,
    ) -> Self {
        let (ahead, behind) = (RefCell::default(), RefCell::default());
        let snapshot = RefCell::default();
        Self { index, posts_of, posts, looks_max, caller, snapshot, ahead, behind }
    }

    /// ReadPool the tables as they are at some moment since they were complete until `until`: memory
    /// may have dropped all up to there.
    fn read(
        &self,
        until: Mark,
        read: impl FnOnce(&Snapshot<'a>) -> Result<Vec<Mark>, storage::Error>,
    ) -> Result<Vec<Mark>, ReadError> {
        self.caller.check()?;
        let Some(index) = self.index else { return Ok(Vec::new()) };
        let mut snapshot = self.snapshot.borrow_mut();
        match snapshot.as_ref() {
            Some(taken) if taken.complete_until() >= until.revision() => Ok(read(taken)?),
            _ => Ok(read(snapshot.insert(index.snapshot()?))?),
        }
    }

    /// Takes the newest of what memory lacks of `author` into memory, as far as there is room.
    /// Gives it, newest first, and whether that is all there is.
    fn take_in(&self, author: UserIx, until: Mark) -> Result<(Vec<Mark>, bool), ReadError> {
        let max = self.posts_of.room(author).min(TAKEN_IN);
        if max == 0 {
            return Ok((Vec::new(), false));
        }
        let newest_first = self.read(until, |snapshot| {
            snapshot.newest_before(TimelineKind::Posts, author.number(), until.next(), max)
        })?;
        let is_all = newest_first.len() < max;
        let rising: Vec<_> = newest_first.iter().rev().copied().collect();
        self.posts_of.extend_back(author, until, &rising, is_all);
        Ok((newest_first, is_all))
    }
}

impl Beyond for FromIndex<'_> {
    type Error = ReadError;

    fn newest_before(
        &self,
        author: UserIx,
        before: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, ReadError> {
        let mut behind = self.behind.borrow_mut();
        if let Some((upto, behind)) = behind.get_mut(&author)
            && before <= *upto
        {
            *upto = before;
            while behind.pop_if(|&mut mark| mark >= before).is_some() {}
            if let Some(&found) = behind.last() {
                return Ok(Some(found));
            }
        }
        let (newest_first, is_all) = self.take_in(author, until)?;
        let found = newest_first.into_iter().find(|&mark| mark < before);
        if found.is_some() || is_all {
            return Ok(found);
        }
        let before = before.min(until.next());
        // Who came here before goes far back.
        let max = if behind.contains_key(&author) { READ_AHEAD } else { 1 };
        let found = self.read(until, |snapshot| {
            snapshot.newest_before(TimelineKind::Posts, author.number(), before, max)
        })?;
        behind.insert(author, (before, found.iter().rev().copied().collect()));
        Ok(found.first().copied())
    }

    fn oldest_after(
        &self,
        history: TimelineKind,
        user: UserIx,
        after: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, ReadError> {
        let mut ahead = self.ahead.borrow_mut();
        let ahead = ahead.entry((history, user)).or_default();
        while ahead.pop_if(|&mut mark| mark <= after).is_some() {}
        if ahead.is_empty() {
            let oldest_first = self.read(until, |snapshot| {
                snapshot.oldest_after(history, user.number(), after, READ_AHEAD)
            })?;
            ahead.extend(oldest_first.into_iter().rev());
        }
        Ok(ahead.last().copied())
    }

    fn at_hand(&self, revision: Revision) -> Option<TimelineEvent> {
        self.posts.cached(revision)
    }

    fn events_at_once(&self) -> usize {
        READ_EVENTS
    }

    fn happened(&self, marks: &[Mark]) -> Result<Vec<TimelineEvent>, ReadError> {
        let revisions: Vec<_> = marks.iter().map(|mark| mark.revision()).collect();
        let happened = self.posts.get_many(&revisions)?;
        match happened.iter().zip(marks).find(|(happened, mark)| !is_of(mark.kind(), happened)) {
            Some((_, mark)) => Err(MissingEvent { revision: mark.revision() }.into()),
            None => Ok(happened),
        }
    }

    fn looks_max(&self) -> usize {
        self.looks_max
    }

    fn pass_over(&self, _: usize) -> Result<(), ReadError> {
        self.caller.check()
    }
}

/// Whether something like this has marks of `kind`.
fn is_of(kind: MarkKind, happened: &TimelineEvent) -> bool {
    match kind {
        MarkKind::Post | MarkKind::Conditional => {
            matches!(happened, TimelineEvent::Post(_) | TimelineEvent::Other(Change::Erased { .. }))
        }
        MarkKind::Repost => matches!(happened, TimelineEvent::Repost(_)),
        MarkKind::Change => matches!(happened, TimelineEvent::Other(_)),
    }
}
