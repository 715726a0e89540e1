//! The facts: what the index does not have yet, over what it has.
//!
//! MemoryStore holds a fact from the change that made it until the index has that change. So whoever
//! does not find it here finds it there, and nothing is held that can be read.

pub(crate) mod record;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use dashmap::DashMap;

use super::apply_right::ApplyRight;
use super::records::record::{Key, Position, Subject, Table, Value};
use crate::model::Revision;
use crate::storage::{self, Index};

/// Records share the places where their newest change is noted: with this many, of 128 KiB, hardly any
/// other is changed between a lookup and a decision.
const STRIPES: usize = 1 << 14;

/// The facts, of which the index has the older ones.
#[derive(Debug)]
pub(crate) struct Records {
    /// Of the tables that are lists: for each subject, in the order of the places. New ones come
    /// last, but for what ends.
    lists: DashMap<(Table, Subject), Vec<(Position, RecentRecord)>>,
    /// Of the others.
    single: DashMap<Key, RecentRecord>,
    /// When a fact of each stripe was changed last, also once memory has dropped it.
    changed: Box<[AtomicU64]>,
    pub(crate) index: Option<Arc<Index>>,
}

/// What became of a fact lately.
#[derive(Clone, Copy, Debug)]
struct RecentRecord {
    value: Value,
    /// Whether it is one no longer.
    is_over: bool,
    /// The change that made it so.
    at: Revision,
}

/// In which order facts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// The highest place first.
    NewestFirst,
    /// The lowest place first.
    OldestFirst,
}

impl Default for Records {
    fn default() -> Self {
        let changed = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { lists: DashMap::new(), single: DashMap::new(), changed, index: None }
    }
}

impl Records {
    /// Makes something a fact, or none.
    pub(crate) fn put(&self, key: Key, value: Option<Value>, at: Revision, _: &ApplyRight) {
        let recent =
            RecentRecord { value: value.unwrap_or_default(), is_over: value.is_none(), at };
        if key.table.is_decided_by() {
            self.stripe(key).store(at.get(), SeqCst);
        }
        if !key.table.is_list() {
            self.single.insert(key, recent);
            return;
        }
        let mut list = self.lists.entry((key.table, key.subject)).or_default();
        match find(&list, key.place) {
            Ok(at) => list[at].1 = recent,
            Err(at) => list.insert(at, (key.place, recent)),
        }
    }

    /// No change of a fact that changes are decided by is newer, among those that are applied.
    pub(crate) fn changed_until(&self, key: Key) -> Revision {
        debug_assert!(key.table.is_decided_by(), "changes of {key:?} are not noted");
        Revision::new(self.stripe(key).load(SeqCst))
    }

    fn stripe(&self, key: Key) -> &AtomicU64 {
        let mixed = key.subject.number() ^ key.place.number().rotate_left(32);
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.changed[(hash >> (64 - STRIPES.ilog2())) as usize]
    }

    /// Whether the index has nothing yet of what happened at `revision` or since.
    pub(crate) fn is_new(&self, revision: Revision) -> bool {
        self.index.as_ref().is_none_or(|index| index.complete_until() < revision)
    }

    /// Drops of the facts at `keys`, which come in their order, what the index has: all that was not
    /// changed after `complete_until`.
    pub(crate) fn trim(&self, keys: impl Iterator<Item = Key>, complete_until: Revision) {
        let mut trimmed = None;
        for key in keys {
            let list = key.table.is_list().then_some((key.table, key.subject));
            match list {
                None => drop(self.single.remove_if(&key, |_, recent| recent.at <= complete_until)),
                Some(list) if trimmed == Some(list) => {}
                Some(list) => {
                    self.lists.remove_if_mut(&list, |_, list| {
                        list.retain(|(_, recent)| recent.at > complete_until);
                        list.shrink_to_fit();
                        list.is_empty()
                    });
                    trimmed = Some(list);
                }
            }
        }
    }

    /// Gives back the memory of what is gone, as after a long replay.
    pub(crate) fn shrink(&self) {
        let is_mostly_gone = |capacity, len| capacity > 8 * (len + 1_024);
        if is_mostly_gone(self.lists.capacity(), self.lists.len()) {
            self.lists.shrink_to_fit();
        }
        if is_mostly_gone(self.single.capacity(), self.single.len()) {
            self.single.shrink_to_fit();
        }
    }

    /// A fact, if it is one; `None` if memory does not know.
    pub(crate) fn get_cached(&self, key: Key) -> Option<Option<Value>> {
        let recent = if key.table.is_list() {
            let list = self.lists.get(&(key.table, key.subject));
            list.and_then(|list| find(&list, key.place).ok().map(|at| list[at].1))
        } else {
            self.single.get(&key).map(|recent| *recent)
        };
        let recent = recent.map(|recent| (!recent.is_over).then_some(recent.value));
        recent.or_else(|| self.index.is_none().then_some(None))
    }

    /// A fact, if it is one. May read the index, which blocks for a moment.
    pub(crate) fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        // MemoryStore is asked first: what it drops after that, the index has.
        match (self.get_cached(key), &self.index) {
            (Some(known), _) => Ok(known),
            (None, Some(index)) => {
                let stored = index.snapshot()?.record(key.stored(), key.table.keep())?;
                Ok(stored.map(Value::from_number))
            }
            (None, None) => Ok(None),
        }
    }

    /// Records, each if it is one. May read the index once, which blocks for a moment.
    pub(crate) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, storage::Error> {
        // MemoryStore is asked for all of them first.
        let mut known: Vec<_> = keys.iter().map(|&key| self.get_cached(key)).collect();
        if let Some(index) = &self.index
            && known.iter().any(Option::is_none)
        {
            let snapshot = index.snapshot()?;
            for (known, key) in known.iter_mut().zip(keys).filter(|(known, _)| known.is_none()) {
                let value = snapshot.record(key.stored(), key.table.keep())?;
                *known = Some(value.map(Value::from_number));
            }
        }
        Ok(known.into_iter().map(Option::flatten).collect())
    }

    /// The facts of a table about a subject that come after `from` in `order`: at most `max`, and
    /// fewer only if there are no more. May read the index, which blocks for a moment.
    pub(crate) fn list(
        &self,
        about: (Table, Subject),
        from: Position,
        order: ListOrder,
        max: usize,
    ) -> Result<Vec<(Position, Value)>, storage::Error> {
        assert!(about.0.is_list(), "{about:?} is not a list");
        let mut listed = Vec::new();
        let mut from = from;
        loop {
            let recent = self.recent(about, from, order, max);
            // After memory, like everywhere.
            let stored = self.stored(about, from, order, max)?;
            // Up to here both are known; beyond it one of them may have more.
            let known = [
                recent.last().filter(|_| recent.len() == max).map(|&(place, _)| place),
                stored.last().filter(|_| stored.len() == max).map(|&(place, _)| place),
            ];
            let known = known.into_iter().flatten().min_by(|a, b| order.compare(a, b));

            let mut merged: BTreeMap<Position, Option<Value>> =
                stored.into_iter().map(|(place, value)| (place, Some(value))).collect();
            merged.extend(
                recent
                    .into_iter()
                    .map(|(place, recent)| (place, (!recent.is_over).then_some(recent.value))),
            );
            let mut merged: Vec<_> = merged.into_iter().collect();
            if order == ListOrder::NewestFirst {
                merged.reverse();
            }
            let is_known = |place| known.is_none_or(|known| order.compare(&place, &known).is_le());
            let facts = merged.into_iter().filter(|&(place, _)| is_known(place));
            listed.extend(facts.filter_map(|(place, value)| Some((place, value?))));
            match known {
                Some(known) if listed.len() < max => from = known,
                _ => {
                    listed.truncate(max);
                    return Ok(listed);
                }
            }
        }
    }

    /// The facts of a table about a subject at places, which are revisions, after `after`, oldest
    /// first: at most `max`. `None` if the index may have some of them.
    pub(crate) fn list_after_cached(
        &self,
        about: (Table, Subject),
        after: Revision,
        max: usize,
    ) -> Option<Vec<(Position, Value)>> {
        let recent = self.lists.get(&about).map_or_else(Vec::new, |list| {
            let start = list.partition_point(|&(place, _)| place <= after.into());
            let facts = list[start..].iter().filter(|(_, recent)| !recent.is_over);
            facts.map(|&(place, recent)| (place, recent.value)).take(max).collect()
        });
        // Asked after memory: what that had dropped by then is no newer.
        let is_all = self.index.as_ref().is_none_or(|index| index.complete_until() <= after);
        is_all.then_some(recent)
    }

    fn recent(
        &self,
        about: (Table, Subject),
        from: Position,
        order: ListOrder,
        max: usize,
    ) -> Vec<(Position, RecentRecord)> {
        let Some(list) = self.lists.get(&about) else { return Vec::new() };
        match order {
            ListOrder::NewestFirst => {
                let end = list.partition_point(|&(place, _)| place < from);
                list[..end].iter().rev().take(max).copied().collect()
            }
            ListOrder::OldestFirst => {
                let start = list.partition_point(|&(place, _)| place <= from);
                list[start..].iter().take(max).copied().collect()
            }
        }
    }

    fn stored(
        &self,
        (table, subject): (Table, Subject),
        from: Position,
        order: ListOrder,
        max: usize,
    ) -> Result<Vec<(Position, Value)>, storage::Error> {
        let Some(index) = &self.index else { return Ok(Vec::new()) };
        let (snapshot, about) = (index.snapshot()?, (table as u8, subject.number()));
        let stored = match order {
            ListOrder::NewestFirst => snapshot.records_before(about, from.number(), max),
            ListOrder::OldestFirst => snapshot.records_after(about, from.number(), max),
        };
        let fact = |(place, value)| (Position::from_number(place), Value::from_number(value));
        Ok(stored?.into_iter().map(fact).collect())
    }
}

impl ListOrder {
    /// Which of two places comes first.
    fn compare(self, a: &Position, b: &Position) -> Ordering {
        match self {
            Self::NewestFirst => b.cmp(a),
            Self::OldestFirst => a.cmp(b),
        }
    }
}

/// Where `place` is, or would have to be.
fn find(list: &[(Position, RecentRecord)], place: Position) -> Result<usize, usize> {
    list.binary_search_by_key(&place, |&(place, _)| place)
}
