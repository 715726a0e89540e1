//! The source of an answer: memory alone, or memory, the index and the log.
//!
//! Every query is answered from either. Memory alone never blocks: it returns
//! [`Unanswered::NotInMemory`] where it would have to read the index or the log, or where a query
//! scans so much that it would delay other calls of the thread. The other source blocks, and checks
//! for a cancelled call.
//!
//! A source never decides what a viewer sees.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::Unanswered;
use super::reader::Cancellation;
use super::results::PagePosition;
use crate::config::Limits;
use crate::model::{Chain, Event, Mark, Post, PostId, Revision};
use crate::state::caches::facts::PostFacts;
use crate::state::records::ListOrder;
use crate::state::records::record::{Key, Position, Subject, Table, Value};
use crate::state::timelines::posts::MarkLookup;
use crate::state::users::UserIx;
use crate::state::{MissingEvent, State, TimelineEvent};
use crate::storage::{self, Snapshot, TimelineKind};

/// Marks that are read from the index at once: one row of a table costs nearly as much as its next
/// few.
const READ_AHEAD_MARKS: usize = 8;
/// Older marks of an author that one read caches in memory.
const CACHED_MARKS: usize = 16;
/// Events that are read from the log at once: some pages of its file.
const READ_EVENTS: usize = 64;
/// The maximum number of marks and rows that a query skips on a thread that must not block: about a
/// hundred microseconds.
const SKIPPED_MAX: usize = 512;
/// What one look-up on the disk counts as work, in skipped entries: measured, 2.5 µs and a quarter.
const LOOK_UP_WORK: usize = 8;

/// A part of an answer that the source with the index takes over from memory.
pub(super) type KeptPart = Option<Arc<dyn Any + Send + Sync>>;

/// The source of the answer of one query.
#[derive(Debug)]
pub struct Source<'a> {
    pub(crate) state: &'a State,
    pub(crate) limits: &'a Limits,
    /// `None`: memory alone.
    disk: Option<Disk>,
    /// The work that was done, in marks and rows that were skipped.
    pub(super) work: Cell<usize>,
    kept: RefCell<KeptPart>,
}

/// The marks that one query has read from the index.
#[derive(Debug)]
struct Disk {
    caller: Cancellation,
    snapshot: RefCell<Option<Snapshot>>,
    /// For each timeline that is read forwards the marks that are not used yet, the oldest last.
    ahead: RefCell<HashMap<(TimelineKind, UserIx), Vec<Mark>>>,
    /// For each author that is read backwards the marks before the given one, the newest last.
    behind: RefCell<HashMap<UserIx, (Mark, Vec<Mark>)>>,
}

impl<'a> Source<'a> {
    pub(super) fn memory(state: &'a State, limits: &'a Limits) -> Self {
        Self { state, limits, disk: None, work: Cell::new(0), kept: RefCell::default() }
    }

    /// `kept` is what a query over memory alone has kept before it stopped.
    pub(super) fn with_index(
        state: &'a State,
        limits: &'a Limits,
        caller: Cancellation,
        kept: KeptPart,
    ) -> Self {
        let (ahead, behind) = (RefCell::default(), RefCell::default());
        let disk = Disk { caller, snapshot: RefCell::default(), ahead, behind };
        let (work, kept) = (Cell::new(0), RefCell::new(kept));
        Self { state, limits, disk: Some(disk), work, kept }
    }

    /// What memory alone could not answer in whole: the part that it has found.
    pub(super) fn into_kept(self) -> KeptPart {
        self.kept.into_inner()
    }

    /// A part of the answer that is not read again with the index, if memory has all of it but not
    /// of the rest. A query may keep one.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn once<T: Any + Send + Sync>(
        &self,
        read: impl FnOnce() -> Result<T, Unanswered>,
    ) -> Result<Arc<T>, Unanswered> {
        if let Some(kept) = self.kept.borrow().clone() {
            match kept.downcast() {
                Ok(kept) => return Ok(kept),
                Err(_) => unreachable!("a query keeps one part"),
            }
        }
        let part = Arc::new(read()?);
        *self.kept.borrow_mut() = Some(Arc::clone(&part) as _);
        Ok(part)
    }

    /// Whether the source is memory alone.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.disk.is_none()
    }

    /// The maximum number of marks and rows that a page scans, at least 1.
    pub(crate) fn scan_max(&self) -> usize {
        self.limits.page_scan_entries_max.max(1)
    }

    /// To be called for `count` marks or rows that were scanned and gave no item.
    ///
    /// # Errors
    /// The call is cancelled; or the query skips too much for a thread that must not block.
    pub(crate) fn skip(&self, count: usize) -> Result<(), Unanswered> {
        self.work.set(self.work.get() + count);
        if let Some(disk) = &self.disk {
            return Ok(disk.caller.check()?);
        }
        if self.work.get() > SKIPPED_MAX { Err(Unanswered::NotInMemory) } else { Ok(()) }
    }

    /// Counts marks, rows or events that are looked up on the disk.
    pub(super) fn count(&self, looked_up: usize) {
        self.work.set(self.work.get() + LOOK_UP_WORK * looked_up);
    }

    /// Checks that `position` is in the log. After a restore from an older backup it may not be,
    /// and the list may have other items.
    ///
    /// # Errors
    /// `position` is after the end of the log, or before its oldest event.
    pub(crate) fn check_position(&self, position: Option<PagePosition>) -> Result<(), Unanswered> {
        let at = position.map(|position| self.state.cursor_after(position.at));
        at.map_or(Ok(()), |at| Ok(at.check(&self.state.log_extent())?))
    }

    /// The newest mark before `before` in `author`'s timeline of posts.
    ///
    /// # Errors
    /// The mark is not in memory; or the index cannot be read.
    pub(crate) fn newest_before(
        &self,
        author: UserIx,
        before: Mark,
    ) -> Result<Option<Mark>, Unanswered> {
        match (self.state.post_timelines.newest_before(author, before), &self.disk) {
            (MarkLookup::InMemory(found), _) => Ok(found),
            (MarkLookup::InIndex(_), None) => Err(Unanswered::NotInMemory),
            (MarkLookup::InIndex(until), Some(disk)) => {
                self.count(1);
                disk.newest_before(self.state, author, before, until)
            }
        }
    }

    /// The oldest mark after `after` in one of `user`'s timelines.
    ///
    /// # Errors
    /// The mark is not in memory; or the index cannot be read.
    pub(crate) fn oldest_after(
        &self,
        kind: TimelineKind,
        user: UserIx,
        after: Mark,
    ) -> Result<Option<Mark>, Unanswered> {
        let (cached, lookup) = match kind {
            TimelineKind::Posts => (None, self.state.post_timelines.oldest_after(user, after)),
            TimelineKind::Changes => self.state.change_timelines.oldest_after(user, after),
        };
        match (lookup, &self.disk) {
            (MarkLookup::InMemory(found), _) => Ok(found),
            (MarkLookup::InIndex(_), None) => Err(Unanswered::NotInMemory),
            (MarkLookup::InIndex(until), Some(disk)) => {
                self.count(1);
                let indexed = disk.oldest_after(self.state, kind, user, after, until)?;
                Ok(indexed.or(cached))
            }
        }
    }

    /// The facts of the event of `mark`, if they are cached.
    pub(crate) fn cached_facts(&self, mark: Mark) -> Option<PostFacts> {
        self.state.posts.facts(mark)
    }

    /// The number of events to read at once.
    pub(crate) fn events_at_once(&self) -> usize {
        if self.is_memory() { 1 } else { READ_EVENTS }
    }

    /// The events at `revisions`, which are applied.
    ///
    /// # Errors
    /// An event is not cached; or the log cannot be read or lacks it.
    pub(crate) fn events(&self, revisions: &[Revision]) -> Result<Vec<TimelineEvent>, Unanswered> {
        if self.is_memory() {
            let cached = revisions.iter().map(|&revision| self.state.posts.cached(revision));
            return cached.collect::<Option<_>>().ok_or(Unanswered::NotInMemory);
        }
        self.count(revisions.len());
        Ok(self.state.posts.get_many(&self.state.users, revisions)?)
    }

    /// The facts of the events of `marks`. Each is of the mark's kind, or an erased post.
    ///
    /// # Errors
    /// As [`Source::events`]; or an event is of another kind.
    pub(crate) fn facts(&self, marks: &[Mark]) -> Result<Vec<PostFacts>, Unanswered> {
        let revisions: Vec<_> = marks.iter().map(|mark| mark.revision()).collect();
        let events = self.events(&revisions)?;
        let facts = events.iter().zip(marks).map(|(event, &mark)| {
            let facts = PostFacts::of_marked(&self.state.users, mark, event);
            facts.ok_or_else(|| MissingEvent { revision: mark.revision() }.into())
        });
        facts.collect()
    }

    /// The events at `revisions`, which are applied; `None` for deleted posts and removed reposts.
    ///
    /// # Errors
    /// As [`Source::events`].
    pub(crate) fn existing_events(
        &self,
        revisions: &[Revision],
    ) -> Result<Vec<Option<TimelineEvent>>, Unanswered> {
        let events = self.events(revisions)?;
        // Checked after the read: the cache may return a post that was deleted meanwhile.
        let existing = |(event, &revision): (TimelineEvent, &Revision)| {
            (!self.state.is_retracted(revision)).then_some(event)
        };
        Ok(events.into_iter().zip(revisions).map(existing).collect())
    }

    /// The posts with `ids`, which existed when they were listed; `None` if one was deleted since.
    ///
    /// # Errors
    /// As [`Source::events`]; or an event is not a post.
    pub(crate) fn all_posts(&self, ids: &[PostId]) -> Result<Option<Vec<Arc<Post>>>, Unanswered> {
        let revisions: Vec<_> = ids.iter().map(|id| id.revision()).collect();
        let mut posts = Vec::with_capacity(revisions.len());
        for (event, &revision) in self.existing_events(&revisions)?.into_iter().zip(&revisions) {
            match event {
                Some(TimelineEvent::Post(post)) => posts.push(post),
                None => return Ok(None),
                Some(_) => return Err(MissingEvent { revision }.into()),
            }
        }
        Ok(Some(posts))
    }

    /// The event at `revision`, of any kind, from the log.
    ///
    /// # Errors
    /// The source is memory alone; or the log cannot be read or lacks the event.
    pub(crate) fn log_event(&self, revision: Revision) -> Result<Event, Unanswered> {
        if self.is_memory() {
            return Err(Unanswered::NotInMemory);
        }
        self.count(1);
        let event = self.state.log.get(revision)?;
        event.ok_or_else(|| MissingEvent { revision }.into())
    }

    /// The events at `revisions`, of any kind, from the log.
    ///
    /// # Errors
    /// As [`Source::log_event`], unless `revisions` is empty.
    pub(crate) fn log_events(&self, revisions: &[Revision]) -> Result<Vec<Event>, Unanswered> {
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_memory() {
            return Err(Unanswered::NotInMemory);
        }
        self.count(revisions.len());
        let events = self.state.log.get_many(revisions)?.into_iter().zip(revisions);
        let event = |(event, &revision): (Option<Event>, _)| {
            event.ok_or_else(|| MissingEvent { revision }.into())
        };
        events.map(event).collect()
    }

    /// The chain of the log at `revision`, which is applied.
    ///
    /// # Errors
    /// The source is memory alone; or the log cannot be read or lacks the event.
    pub(crate) fn log_chain(&self, revision: Revision) -> Result<Chain, Unanswered> {
        if self.is_memory() {
            return Err(Unanswered::NotInMemory);
        }
        let chain = self.state.log.chain(revision)?;
        chain.ok_or_else(|| MissingEvent { revision }.into())
    }

    /// The record at `key`; `None` if there is none.
    ///
    /// # Errors
    /// Only the index may have it; or the index cannot be read.
    pub(crate) fn record(&self, key: Key) -> Result<Option<Value>, Unanswered> {
        if self.is_memory() {
            return self.state.records.get_cached(key).ok_or(Unanswered::NotInMemory);
        }
        self.count(1);
        Ok(self.state.records.get(key)?)
    }

    /// The records at `keys`; `None` where there is none.
    ///
    /// # Errors
    /// Only the index may have one of them; or the index cannot be read.
    pub(crate) fn records(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, Unanswered> {
        if self.is_memory() {
            let cached = keys.iter().map(|&key| self.state.records.get_cached(key));
            return cached.collect::<Option<_>>().ok_or(Unanswered::NotInMemory);
        }
        self.count(keys.len());
        Ok(self.state.records.get_many(keys)?)
    }

    /// The records of the list `about` that come after `from` in `order`: at most `max`, and fewer
    /// only at the end of the list.
    ///
    /// # Errors
    /// The index may have some of them; or it cannot be read.
    pub(crate) fn list(
        &self,
        about: (Table, Subject),
        from: Position,
        order: ListOrder,
        max: usize,
    ) -> Result<Vec<(Position, Value)>, Unanswered> {
        let records = &self.state.records;
        if !self.is_memory() || self.state.index().is_none() {
            let rows = records.list(about, from, order, max)?;
            self.count(if self.is_memory() { 0 } else { rows.len() });
            return Ok(rows);
        }
        match order {
            ListOrder::OldestFirst => {
                let cached = records.list_after_cached(about, from.revision(), max);
                cached.ok_or(Unanswered::NotInMemory)
            }
            ListOrder::NewestFirst => Err(Unanswered::NotInMemory),
        }
    }
}

impl Disk {
    /// Reads a snapshot that is complete until `until` at least: memory may have dropped all marks
    /// up to there.
    fn read(
        &self,
        state: &State,
        until: Mark,
        read: impl FnOnce(&Snapshot) -> Result<Vec<Mark>, storage::Error>,
    ) -> Result<Vec<Mark>, Unanswered> {
        self.caller.check()?;
        // Without an index memory has all marks.
        let Some(index) = state.index() else { return Ok(Vec::new()) };
        let mut snapshot = self.snapshot.borrow_mut();
        match snapshot.as_ref() {
            Some(taken) if taken.complete_until() >= until.revision() => Ok(read(taken)?),
            _ => Ok(read(snapshot.insert(index.snapshot()?))?),
        }
    }

    fn newest_before(
        &self,
        state: &State,
        author: UserIx,
        before: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Unanswered> {
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
        let (newest_first, is_all) = self.cache_older(state, author, until)?;
        let found = newest_first.into_iter().find(|&mark| mark < before);
        if found.is_some() || is_all {
            return Ok(found);
        }
        let before = before.min(until.next());
        // A query that reads an author's index rows twice probably reads many of them.
        let max = if behind.contains_key(&author) { READ_AHEAD_MARKS } else { 1 };
        let found = self.read(state, until, |snapshot| {
            snapshot.newest_before(TimelineKind::Posts, author.number(), before, max)
        })?;
        behind.insert(author, (before, found.iter().rev().copied().collect()));
        Ok(found.first().copied())
    }

    /// Caches the newest marks of `author` that memory lacks, as far as the list has capacity.
    /// Returns them, newest first, and whether the author has no others before them.
    fn cache_older(
        &self,
        state: &State,
        author: UserIx,
        until: Mark,
    ) -> Result<(Vec<Mark>, bool), Unanswered> {
        let max = state.post_timelines.room(author).min(CACHED_MARKS);
        if max == 0 {
            return Ok((Vec::new(), false));
        }
        let newest_first = self.read(state, until, |snapshot| {
            snapshot.newest_before(TimelineKind::Posts, author.number(), until.next(), max)
        })?;
        let is_all = newest_first.len() < max;
        let rising: Vec<_> = newest_first.iter().rev().copied().collect();
        state.post_timelines.extend_back(author, until, &rising, is_all);
        Ok((newest_first, is_all))
    }

    fn oldest_after(
        &self,
        state: &State,
        kind: TimelineKind,
        user: UserIx,
        after: Mark,
        until: Mark,
    ) -> Result<Option<Mark>, Unanswered> {
        let mut ahead = self.ahead.borrow_mut();
        let ahead = ahead.entry((kind, user)).or_default();
        while ahead.pop_if(|&mut mark| mark <= after).is_some() {}
        if ahead.is_empty() {
            let oldest_first = self.read(state, until, |snapshot| {
                snapshot.oldest_after(kind, user.number(), after, READ_AHEAD_MARKS)
            })?;
            ahead.extend(oldest_first.into_iter().rev());
        }
        Ok(ahead.last().copied())
    }
}
