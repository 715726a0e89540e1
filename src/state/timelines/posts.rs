//! The timelines of posts: for each author the marks of their posts, reposts and retractions.
//!
//! ```text
//!   index:   all marks up to a revision ────────────────┐
//!   recent:             (after) │ mark │ mark │ mark │ mark     a limited list per author
//!   newest:                                           mark     one number per author
//! ```
//!
//! The newest marks are in an array of their own: for most authors of a large feed a merge needs
//! nothing else, and takes no lock. Marks before an author's list are only in the index. A mark
//! never leaves a list before the index has it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Mark, Revision};
use crate::state::apply_right::ApplyRight;
use crate::state::dense::Dense;
use crate::state::users::UserIx;

/// Newest marks that are allocated at once.
const PAGE_USERS: usize = 64;

/// For each author the newest mark, and a rising list of recent marks.
#[derive(Debug)]
pub(crate) struct PostTimelines {
    newest: boxcar::Vec<[AtomicU64; PAGE_USERS]>,
    recent: Dense<RecentMarks>,
    recent_max: usize,
}

/// The newest marks of one author. The first number is not one of them: the list has all marks
/// after it. Empty if the author has no mark since the state was loaded.
#[derive(Debug, Default)]
struct RecentMarks(Vec<u64>);

/// The result of a search in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkLookup {
    /// The mark, if there is one.
    InMemory(Option<Mark>),
    /// The mark is in the index, which has all marks up to this one.
    InIndex(Mark),
}

impl PostTimelines {
    /// No marks. Lists are trimmed to `recent_max` marks as far as the index has the others.
    pub(crate) fn new(recent_max: usize) -> Self {
        Self {
            newest: boxcar::Vec::new(),
            recent: Dense::default(),
            // At least the newest mark stays, so that every list has all marks after its first
            // number.
            recent_max: recent_max.max(1),
        }
    }

    /// Loads the newest mark of `author`, whose marks are all in the index.
    pub(crate) fn load(&self, author: UserIx, newest: Mark, by: &ApplyRight) {
        // For `extend_back`, which reads call.
        self.recent.reserve(author, by);
        self.newest_slot(author, by).store(newest.number(), Ordering::Release);
    }

    /// Appends `mark` to `author`'s list.
    ///
    /// # Panics
    /// `mark` is not above those of the list.
    pub(crate) fn push(&self, author: UserIx, mark: Mark, by: &ApplyRight) {
        let newest = self.newest_slot(author, by);
        let before = newest.load(Ordering::Relaxed);
        assert!(before < mark.number(), "{mark:?} comes after {before}");
        self.recent.change(author, by, |recent| {
            recent.start_at(before);
            recent.0.push(mark.number());
        });
        newest.store(mark.number(), Ordering::Release);
    }

    /// Trims `author`'s list to the limit, as far as the index, which is complete until
    /// `complete_until`, has the dropped marks.
    pub(crate) fn trim(&self, author: UserIx, complete_until: Revision) {
        let indexed = Mark::before(complete_until.next()).previous();
        let trim = |recent: &mut RecentMarks| recent.trim(indexed.number(), self.recent_max);
        self.recent.change_existing(author, trim);
    }

    /// The number of older marks that `author`'s list has capacity for.
    pub(crate) fn room(&self, author: UserIx) -> usize {
        let count = self.recent.get(author, |recent| recent.count()).unwrap_or(1);
        self.recent_max.saturating_sub(count)
    }

    /// Puts `older` before `author`'s list, if the list still starts after `until` and has
    /// capacity. `older` is rising, and has all marks of the author from its first up to and
    /// including `until`; with `to_start` there are none before its first.
    pub(crate) fn extend_back(&self, author: UserIx, until: Mark, older: &[Mark], to_start: bool) {
        debug_assert!(older.is_sorted_by(|a, b| a < b), "the older marks are not rising");
        debug_assert!(older.last().is_none_or(|&last| last <= until), "later than {until:?}");
        let Some(newest) = self.newest(author) else { return };
        self.recent.change_existing(author, |recent| {
            recent.start_at(newest.number());
            if recent.after() != until.number() || recent.count() + older.len() > self.recent_max {
                return;
            }
            let first = older.first().map_or(until, |first| first.previous());
            let after = if to_start { Mark::FIRST } else { first };
            let mut list = Vec::with_capacity(older.len() + recent.0.len());
            list.push(after.number());
            list.extend(older.iter().map(|mark| mark.number()));
            list.extend(&recent.0[1..]);
            recent.0 = list;
        });
    }

    /// The newest mark of `author` before `before`.
    pub(crate) fn newest_before(&self, author: UserIx, before: Mark) -> MarkLookup {
        let Some(newest) = self.newest(author) else { return MarkLookup::InMemory(None) };
        if newest < before {
            return MarkLookup::InMemory(Some(newest));
        }
        let search = |recent: &RecentMarks| recent.newest_before(before.number());
        self.recent
            .get(author, search)
            .flatten()
            .unwrap_or_else(|| MarkLookup::InIndex(newest.previous()))
    }

    /// The oldest mark of `author` after `after`.
    pub(crate) fn oldest_after(&self, author: UserIx, after: Mark) -> MarkLookup {
        let Some(newest) = self.newest(author) else { return MarkLookup::InMemory(None) };
        if newest <= after {
            return MarkLookup::InMemory(None);
        }
        if newest.previous() <= after {
            return MarkLookup::InMemory(Some(newest));
        }
        let search = |recent: &RecentMarks| recent.oldest_after(after.number());
        self.recent
            .get(author, search)
            .flatten()
            .unwrap_or_else(|| MarkLookup::InIndex(newest.previous()))
    }

    fn newest(&self, author: UserIx) -> Option<Mark> {
        let page = self.newest.get(author.index() / PAGE_USERS)?;
        let newest = page[author.index() % PAGE_USERS].load(Ordering::Acquire);
        (newest > 0).then(|| Mark::from_number(newest))
    }

    fn newest_slot(&self, author: UserIx, _: &ApplyRight) -> &AtomicU64 {
        while self.newest.count() <= author.index() / PAGE_USERS {
            self.newest.push(std::array::from_fn(|_| AtomicU64::new(0)));
        }
        &self.newest[author.index() / PAGE_USERS][author.index() % PAGE_USERS]
    }
}

impl RecentMarks {
    /// Starts an empty list with `newest`, the author's newest mark, or without a mark if it is 0.
    fn start_at(&mut self, newest: u64) {
        if self.0.is_empty() {
            self.0 = if newest == 0 { vec![0] } else { vec![newest - 1, newest] };
        }
    }

    /// The list has all marks after this number. Only after [`RecentMarks::start_at`].
    fn after(&self) -> u64 {
        self.0[0]
    }

    fn list(&self) -> &[u64] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The number of marks; an empty list stands for the newest mark.
    fn count(&self) -> usize {
        self.list().len().max(1)
    }

    fn trim(&mut self, indexed: u64, recent_max: usize) {
        let indexed = self.list().partition_point(|&mark| mark <= indexed);
        let surplus = self.list().len().saturating_sub(recent_max).min(indexed);
        if surplus > 0 {
            // The last dropped mark becomes the number before the list.
            self.0.drain(..surplus);
            self.0.shrink_to(recent_max + 1);
        }
    }

    fn newest_before(&self, before: u64) -> Option<MarkLookup> {
        let after = *self.0.first()?;
        let list = self.list();
        let end = list.partition_point(|&mark| mark < before);
        Some(match end.checked_sub(1) {
            Some(last) => MarkLookup::InMemory(Some(Mark::from_number(list[last]))),
            None if after == 0 => MarkLookup::InMemory(None),
            None => MarkLookup::InIndex(Mark::from_number(after)),
        })
    }

    fn oldest_after(&self, after: u64) -> Option<MarkLookup> {
        let starts_after = *self.0.first()?;
        if after < starts_after {
            return Some(MarkLookup::InIndex(Mark::from_number(starts_after)));
        }
        let list = self.list();
        let start = list.partition_point(|&mark| mark <= after);
        Some(MarkLookup::InMemory(list.get(start).map(|&mark| Mark::from_number(mark))))
    }
}
