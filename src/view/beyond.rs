//! What is asked for where memory ends: nothing, or the index.
//!
//! A read is written once and made in two ways. The one never blocks, and ends where it would have
//! to; the other reads the index.

use std::cell::RefCell;
use std::collections::HashMap;

use super::authors::Authors;
use super::ids::UserIx;
use crate::log::{self, History, Index, Snapshot};
use crate::model::Mark;

/// Marks read from the index at once: one place of a table costs nearly as much as its next
/// few.
const READ_AHEAD: usize = 8;
/// Marks of an author that are taken into memory at once.
const TAKEN_IN: usize = 16;

/// What knows the marks that memory does not have.
pub(super) trait Beyond {
    /// Why it does not say.
    type Error;

    /// The newest post of `author`'s before `before`. Memory has all after `until`.
    fn newest_before(
        &self,
        author: UserIx,
        before: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Self::Error>;

    /// The oldest mark of `user`'s after `after`. Memory has all after `until`.
    fn oldest_after(
        &self,
        history: History,
        user: UserIx,
        after: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Self::Error>;
}

/// Ends the read.
#[derive(Debug)]
pub(super) struct MemoryOnly;

/// What was asked for is not in memory.
#[derive(Debug)]
pub(super) struct NotAtHand;

impl Beyond for MemoryOnly {
    type Error = NotAtHand;

    fn newest_before(&self, _: UserIx, _: Mark, _: Mark) -> Result<Option<Mark>, NotAtHand> {
        Err(NotAtHand)
    }

    fn oldest_after(
        &self,
        _: History,
        _: UserIx,
        _: Mark,
        _: Mark,
    ) -> Result<Option<Mark>, NotAtHand> {
        Err(NotAtHand)
    }
}

/// Reads the index, and blocks while it does. For one read of a feed.
#[derive(Debug)]
pub(super) struct FromIndex<'a> {
    /// Without an index memory has everything, and nothing is asked for.
    index: Option<&'a Index>,
    posts_of: &'a Authors,
    snapshot: RefCell<Option<Snapshot<'a>>>,
    /// By user: what was read and not asked for yet, the oldest last.
    ahead: RefCell<HashMap<(History, UserIx), Vec<Mark>>>,
}

impl<'a> FromIndex<'a> {
    pub(super) fn new(index: Option<&'a Index>, posts_of: &'a Authors) -> Self {
        Self { index, posts_of, snapshot: RefCell::default(), ahead: RefCell::default() }
    }

    /// Reads the tables as they are at some moment since they were complete until `until`: memory
    /// may have dropped all up to there.
    fn read(
        &self,
        until: Mark,
        read: impl FnOnce(&Snapshot<'a>) -> Result<Vec<Mark>, log::Error>,
    ) -> Result<Vec<Mark>, log::Error> {
        let Some(index) = self.index else { return Ok(Vec::new()) };
        let mut snapshot = self.snapshot.borrow_mut();
        match snapshot.as_ref() {
            Some(taken) if taken.complete_until() >= until.revision() => read(taken),
            _ => read(snapshot.insert(index.snapshot()?)),
        }
    }

    /// Takes the newest of what memory lacks of `author` into memory, as far as there is room.
    /// Gives it, newest first, and whether that is all there is.
    fn take_in(&self, author: UserIx, until: Mark) -> Result<(Vec<Mark>, bool), log::Error> {
        let max = self.posts_of.room(author).min(TAKEN_IN);
        if max == 0 {
            return Ok((Vec::new(), false));
        }
        let newest_first = self.read(until, |snapshot| {
            snapshot.newest_before(History::Posts, author.number(), until.next(), max)
        })?;
        let is_all = newest_first.len() < max;
        let rising: Vec<_> = newest_first.iter().rev().copied().collect();
        self.posts_of.extend_back(author, until, &rising, is_all);
        Ok((newest_first, is_all))
    }
}

impl Beyond for FromIndex<'_> {
    type Error = log::Error;

    fn newest_before(
        &self,
        author: UserIx,
        before: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, log::Error> {
        let (newest_first, is_all) = self.take_in(author, until)?;
        let found = newest_first.into_iter().find(|&mark| mark < before);
        if found.is_some() || is_all {
            return Ok(found);
        }
        let before = before.min(until.next());
        let found = self.read(until, |snapshot| {
            snapshot.newest_before(History::Posts, author.number(), before, 1)
        })?;
        Ok(found.first().copied())
    }

    fn oldest_after(
        &self,
        history: History,
        user: UserIx,
        after: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, log::Error> {
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
}
