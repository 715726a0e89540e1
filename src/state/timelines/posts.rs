//! What every author published, rising: the newest always, the recent ones bounded.
//!
//! The newest of every author stands in an array of its own. Most of a large feed's authors can be
//! told from it alone, without a lock or a look at their list. What is older than a list goes back
//! is in the index, and only there: nothing leaves a list before the index has it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Mark, Revision};
use crate::state::apply_right::ApplyRight;
use crate::state::dense::Dense;
use crate::state::users::UserIx;

const PAGE_USERS: usize = 64;

/// A rising list of marks for every author.
#[derive(Debug)]
pub(crate) struct PostTimelines {
    newest: boxcar::Vec<[AtomicU64; PAGE_USERS]>,
    recent: Dense<RecentMarks>,
    recent_max: usize,
}

/// The end of an author's list. Empty for one who has not published since the state was loaded.
///
/// The first number is not in the list: the list has all marks after it.
#[derive(Debug, Default)]
struct RecentMarks(Vec<u64>);

/// What memory says, or from where on the index has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkLookup {
    /// This.
    Here(Option<Mark>),
    /// The index knows: it has all marks up to this one.
    InIndex(Mark),
}

impl PostTimelines {
    /// Nobody has published. Lists hold up to `recent_max` of what the index has too.
    pub(crate) fn new(recent_max: usize) -> Self {
        Self {
            newest: boxcar::Vec::new(),
            recent: Dense::default(),
            // The newest stays, so that every list is whole from somewhere on.
            recent_max: recent_max.max(1),
        }
    }

    /// Takes `newest` for the newest of `author`, whose marks are all in the index.
    pub(crate) fn load(&self, author: UserIx, newest: Mark, by: &ApplyRight) {
        // For the older ones that reads take into memory.
        self.recent.make_room(author, by);
        self.newest_slot(author, by).store(newest.number(), Ordering::Release);
    }

    /// Adds `mark`, which is beyond all before it, to `author`'s list.
    ///
    /// # Panics
    /// It is not.
    pub(crate) fn push(&self, author: UserIx, mark: Mark, by: &ApplyRight) {
        let newest = self.newest_slot(author, by);
        let before = newest.load(Ordering::Relaxed);
        assert!(before < mark.number(), "{mark:?} comes after {before}");
        self.recent.change(author, by, |recent| {
            recent.begin(before);
            recent.0.push(mark.number());
        });
        newest.store(mark.number(), Ordering::Release);
    }

    /// Shortens `author`'s list by what the index, complete until `complete_until`, has too.
    pub(crate) fn trim(&self, author: UserIx, complete_until: Revision) {
        let indexed = Mark::before(complete_until.next()).previous();
        let trim = |recent: &mut RecentMarks| recent.trim(indexed.number(), self.recent_max);
        self.recent.change_if_there(author, trim);
    }

    /// How many older marks `author`'s list may take.
    pub(crate) fn room(&self, author: UserIx) -> usize {
        let held = self.recent.get(author, |recent| recent.held()).unwrap_or(1);
        self.recent_max.saturating_sub(held)
    }

    /// Takes `older`, all of `author`'s up to and including `until` down to its first, rising, for
    /// the beginning of the list; if the list still begins there. `to_start` says that there are
    /// none before them.
    pub(crate) fn extend_back(&self, author: UserIx, until: Mark, older: &[Mark], to_start: bool) {
        let Some(newest) = self.newest(author) else { return };
        self.recent.change_if_there(author, |recent| {
            recent.begin(newest.number());
            if recent.after() != until.number() || recent.held() + older.len() > self.recent_max {
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

    /// The newest of `author`'s before `before`.
    pub(crate) fn newest_before(&self, author: UserIx, before: Mark) -> MarkLookup {
        let Some(newest) = self.newest(author) else { return MarkLookup::Here(None) };
        if newest < before {
            return MarkLookup::Here(Some(newest));
        }
        let look = |recent: &RecentMarks| recent.newest_before(before.number());
        self.recent
            .get(author, look)
            .flatten()
            .unwrap_or_else(|| MarkLookup::InIndex(newest.previous()))
    }

    /// The oldest of `author`'s after `after`.
    pub(crate) fn oldest_after(&self, author: UserIx, after: Mark) -> MarkLookup {
        let Some(newest) = self.newest(author) else { return MarkLookup::Here(None) };
        if newest <= after {
            return MarkLookup::Here(None);
        }
        if newest.previous() <= after {
            return MarkLookup::Here(Some(newest));
        }
        let look = |recent: &RecentMarks| recent.oldest_after(after.number());
        self.recent
            .get(author, look)
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
    /// Gives an empty list its beginning: `newest`, which is the newest so far, or 0.
    fn begin(&mut self, newest: u64) {
        if self.0.is_empty() {
            self.0 = if newest == 0 { vec![0] } else { vec![newest - 1, newest] };
        }
    }

    /// The list, which must have been begun, has all revisions after this one.
    fn after(&self) -> u64 {
        self.0[0]
    }

    fn list(&self) -> &[u64] {
        self.0.get(1..).unwrap_or_default()
    }

    /// How many it holds; an empty list stands for the newest.
    fn held(&self) -> usize {
        self.list().len().max(1)
    }

    fn trim(&mut self, indexed: u64, recent_max: usize) {
        let indexed = self.list().partition_point(|&mark| mark <= indexed);
        let surplus = self.list().len().saturating_sub(recent_max).min(indexed);
        if surplus > 0 {
            // The last that goes takes the place of the mark before the list.
            self.0.drain(..surplus);
            self.0.shrink_to(recent_max + 1);
        }
    }

    fn newest_before(&self, before: u64) -> Option<MarkLookup> {
        let after = *self.0.first()?;
        let list = self.list();
        let place = list.partition_point(|&mark| mark < before);
        Some(match place.checked_sub(1) {
            Some(place) => MarkLookup::Here(Some(Mark::from_number(list[place]))),
            None if after == 0 => MarkLookup::Here(None),
            None => MarkLookup::InIndex(Mark::from_number(after)),
        })
    }

    fn oldest_after(&self, after: u64) -> Option<MarkLookup> {
        let begins_after = *self.0.first()?;
        if after < begins_after {
            return Some(MarkLookup::InIndex(Mark::from_number(begins_after)));
        }
        let list = self.list();
        let place = list.partition_point(|&mark| mark <= after);
        Some(MarkLookup::Here(list.get(place).map(|&mark| Mark::from_number(mark))))
    }
}
