//! Records: the changes that the index does not have yet, over the records in the index.
//!
//! ```text
//!   get ──▶ recent in memory? ──▶ yes: its value, or none for a tombstone
//!                            └──▶ no: the index
//! ```
//!
//! Memory holds a record from its change until the index has that change. So every read goes to
//! memory first: a record that is not there is in the index, if it exists. Likes and reposts are kept
//! for longer: see [`reactions`].

mod older_reactions;
mod reactions;
pub(crate) mod record;
mod table;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use dashmap::DashMap;

use self::older_reactions::ReaderReactions;
use self::reactions::RecentReactions;
use super::apply_right::ApplyRight;
use super::metrics::CacheUse;
use super::records::record::{Key, Position, Subject, Table, Value};
use super::users::UserIx;
use crate::config::Limits;
use crate::model::Revision;
use crate::storage::{self, Index, Snapshot};

/// Records share stripes. With this many, of 128 KiB in total, another record of the same stripe is
/// hardly ever changed between a lookup and its decision.
const STRIPES: usize = 1 << 14;

/// The recent records in memory, and the index, which has the older ones.
#[derive(Debug)]
pub(crate) struct Records {
    /// Tables that are lists: for each subject, sorted by position. A new record is appended; a
    /// tombstone may be inserted anywhere.
    lists: DashMap<(Table, Subject), Vec<(Position, RecentRecord)>>,
    /// The other tables.
    single: DashMap<Key, RecentRecord>,
    /// For each stripe the newest change of a record, which stays when memory drops the record.
    changed: Box<[AtomicU64]>,
    /// Only with an index: without one all records are above.
    reactions: Option<RecentReactions>,
    index: Option<Arc<Index>>,
}

/// The newest change of a record.
#[derive(Clone, Copy, Debug)]
struct RecentRecord {
    value: Value,
    /// Whether the change removed the record.
    is_tombstone: bool,
    /// The revision of the change.
    at: Revision,
}

/// The order of a list of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// By falling position.
    NewestFirst,
    /// By rising position.
    OldestFirst,
}

impl Default for Records {
    fn default() -> Self {
        let changed = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        let (lists, single) = (DashMap::new(), DashMap::new());
        Self { lists, single, changed, reactions: None, index: None }
    }
}

impl Records {
    /// Has the older records read from `index`, before any is set. At most `recent_reactions_max`
    /// likes and reposts, and others of `older_reactions_bytes_max`, stay in memory although the
    /// index has them.
    pub(crate) fn attach(&mut self, index: Arc<Index>, limits: &Limits) {
        let since = index.complete_until().next();
        let (recent_max, older_bytes_max) =
            (limits.recent_reactions_max, limits.older_reactions_bytes_max);
        self.reactions = Some(RecentReactions::new(since, recent_max, older_bytes_max));
        self.index = Some(index);
    }

    pub(crate) fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }

    /// What a scrape shows of the cache of older reactions; all zero without an index.
    pub(crate) fn use_of_older_reactions(&self) -> CacheUse {
        self.reactions.as_ref().map_or_else(CacheUse::default, RecentReactions::use_of_older)
    }

    /// Sets the record at `key`, or removes it.
    pub(crate) fn put(&self, key: Key, value: Option<Value>, at: Revision, by: &ApplyRight) {
        let recent =
            RecentRecord { value: value.unwrap_or_default(), is_tombstone: value.is_none(), at };
        if key.table.is_decided_by() {
            self.stripe(key).store(at.get(), SeqCst);
        }
        if !key.table.is_list() {
            self.single.insert(key, recent);
            if let Some(reactions) = &self.reactions {
                reactions.put(key, value, at, by);
            }
            return;
        }
        let mut list = self.lists.entry((key.table, key.subject)).or_default();
        match find(&list, key.position) {
            Ok(at) => list[at].1 = recent,
            Err(at) => list.insert(at, (key.position, recent)),
        }
    }

    /// A revision after which the record at `key` was not changed. Only for tables that
    /// [decisions depend on](Table::is_decided_by).
    pub(crate) fn changed_until(&self, key: Key) -> Revision {
        debug_assert!(key.table.is_decided_by(), "changes of {key:?} are not tracked");
        Revision::new(self.stripe(key).load(SeqCst))
    }

    fn stripe(&self, key: Key) -> &AtomicU64 {
        let mixed = key.subject.number() ^ key.position.number().rotate_left(32);
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.changed[(hash >> (64 - STRIPES.ilog2())) as usize]
    }

    /// Whether the index has no event from `revision` on yet.
    pub(crate) fn is_new(&self, revision: Revision) -> bool {
        self.index.as_ref().is_none_or(|index| index.complete_until() < revision)
    }

    /// Drops the records at `keys`, which are in rising order, whose newest change the index has:
    /// it is complete until `complete_until`.
    ///
    /// # Errors
    /// The first error among the keys. Those before it are dropped.
    pub(crate) fn trim<E>(
        &self,
        keys: impl Iterator<Item = Result<Key, E>>,
        complete_until: Revision,
    ) -> Result<(), E> {
        let (mut trimmed, mut previous) = (None, None);
        for key in keys {
            let key = key?;
            debug_assert!(previous < Some(key), "the keys are not in order");
            previous = Some(key);
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
        Ok(())
    }

    /// Frees the memory of dropped records, as after a long replay.
    pub(crate) fn shrink(&self) {
        let is_mostly_gone = |capacity, len| capacity > 8 * (len + 1_024);
        if is_mostly_gone(self.lists.capacity(), self.lists.len()) {
            self.lists.shrink_to_fit();
        }
        if is_mostly_gone(self.single.capacity(), self.single.len()) {
            self.single.shrink_to_fit();
        }
    }

    /// The record at `key`, from memory; `None` if only the index has it, if any.
    pub(crate) fn get_cached(&self, key: Key) -> Option<Option<Value>> {
        let recent = if key.table.is_list() {
            let list = self.lists.get(&(key.table, key.subject));
            list.and_then(|list| find(&list, key.position).ok().map(|at| list[at].1))
        } else {
            self.single.get(&key).map(|recent| *recent)
        };
        let recent = recent.map(|recent| (!recent.is_tombstone).then_some(recent.value));
        recent.or_else(|| match &self.reactions {
            Some(reactions) => reactions.get(key),
            None => Some(None),
        })
    }

    /// The record at `key`. May read the index, which blocks.
    pub(crate) fn get(&self, key: Key) -> Result<Option<Value>, storage::Error> {
        // Memory is read first: the index has every record that memory drops after that.
        match (self.get_cached(key), &self.index) {
            (Some(known), _) => Ok(known),
            (None, Some(index)) => {
                let stored = index.snapshot()?.record(key.stored(), key.table.residency())?;
                Ok(stored.map(Value::from_number))
            }
            (None, None) => Ok(None),
        }
    }

    /// The records at `keys`. May read one snapshot of the index, which blocks.
    pub(crate) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, storage::Error> {
        self.get_many_with(keys, |_| Ok(None))
    }

    /// As [`Records::get_many`], of keys that are likes and reposts of `user`. If memory lacks one of
    /// them, the newest of this user are read from the index at once.
    pub(crate) fn get_reactions(
        &self,
        user: UserIx,
        keys: &[Key],
    ) -> Result<Vec<Option<Value>>, storage::Error> {
        debug_assert!(keys.iter().all(|key| key.table.is_reaction() && key.subject == user.into()));
        let Some(reactions) = &self.reactions else { return self.get_many(keys) };
        self.get_many_with(keys, |index| reactions.load_older(user, index))
    }

    /// The records at `keys`. `load` is called if memory lacks one of them, and reads some of the
    /// others at once.
    fn get_many_with(
        &self,
        keys: &[Key],
        load: impl FnOnce(&Snapshot) -> Result<Option<Arc<ReaderReactions>>, storage::Error>,
    ) -> Result<Vec<Option<Value>>, storage::Error> {
        // Memory is read for all of them first.
        let mut known: Vec<_> = keys.iter().map(|&key| self.get_cached(key)).collect();
        if let Some(index) = &self.index
            && known.iter().any(Option::is_none)
        {
            let snapshot = index.snapshot()?;
            // Used also if the cache does not keep it: it has no room, or the entry is out of date.
            let loaded = load(&snapshot)?;
            for (known, &key) in known.iter_mut().zip(keys).filter(|(known, _)| known.is_none()) {
                *known = loaded.as_ref().and_then(|of_user| of_user.get(key));
                if known.is_none() {
                    let value = snapshot.record(key.stored(), key.table.residency())?;
                    *known = Some(value.map(Value::from_number));
                }
            }
        }
        Ok(known.into_iter().map(Option::flatten).collect())
    }

    /// The records of the list `about` that come after `from` in `order`: at most `max`, and fewer
    /// only at the end of the list. May read the index, which blocks.
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
            // After memory, as in `get`.
            let stored = self.stored(about, from, order, max)?;
            // Up to here both are complete; after it one of them may have more.
            let ends = [
                recent.last().filter(|_| recent.len() == max).map(|&(position, _)| position),
                stored.last().filter(|_| stored.len() == max).map(|&(position, _)| position),
            ];
            let complete_until = ends.into_iter().flatten().min_by(|a, b| order.compare(a, b));

            let mut merged: BTreeMap<Position, Option<Value>> =
                stored.into_iter().map(|(position, value)| (position, Some(value))).collect();
            merged.extend(recent.into_iter().map(|(position, recent)| {
                (position, (!recent.is_tombstone).then_some(recent.value))
            }));
            let mut merged: Vec<_> = merged.into_iter().collect();
            if order == ListOrder::NewestFirst {
                merged.reverse();
            }
            let is_complete =
                |position| complete_until.is_none_or(|end| order.compare(&position, &end).is_le());
            let records = merged.into_iter().filter(|&(position, _)| is_complete(position));
            listed.extend(records.filter_map(|(position, value)| Some((position, value?))));
            match complete_until {
                Some(end) if listed.len() < max => from = end,
                _ => {
                    listed.truncate(max);
                    return Ok(listed);
                }
            }
        }
    }

    /// The records of the list `about` after the revision `after`, oldest first, at most `max`,
    /// from memory; `None` if the index may have some of them.
    pub(crate) fn list_after_cached(
        &self,
        about: (Table, Subject),
        after: Revision,
        max: usize,
    ) -> Option<Vec<(Position, Value)>> {
        debug_assert!(about.0.is_list(), "{about:?} is not a list");
        let recent = self.lists.get(&about).map_or_else(Vec::new, |list| {
            let start = list.partition_point(|&(position, _)| position <= after.into());
            let records = list[start..].iter().filter(|(_, recent)| !recent.is_tombstone);
            records.map(|&(position, recent)| (position, recent.value)).take(max).collect()
        });
        // Read after memory: any record that memory had dropped by then is not newer than this.
        let is_complete = self.index.as_ref().is_none_or(|index| index.complete_until() <= after);
        is_complete.then_some(recent)
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
                let end = list.partition_point(|&(position, _)| position < from);
                list[..end].iter().rev().take(max).copied().collect()
            }
            ListOrder::OldestFirst => {
                let start = list.partition_point(|&(position, _)| position <= from);
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
        let record =
            |(position, value)| (Position::from_number(position), Value::from_number(value));
        Ok(stored?.into_iter().map(record).collect())
    }
}

impl ListOrder {
    fn compare(self, a: &Position, b: &Position) -> Ordering {
        match self {
            Self::NewestFirst => b.cmp(a),
            Self::OldestFirst => a.cmp(b),
        }
    }
}

/// The index of `position` in `list`, or the index at which to insert it.
fn find(list: &[(Position, RecentRecord)], position: Position) -> Result<usize, usize> {
    list.binary_search_by_key(&position, |&(position, _)| position)
}
