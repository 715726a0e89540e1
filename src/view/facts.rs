//! The facts: what the index does not have yet, over what it has.
//!
//! Memory holds a fact from the change that made it until the index has that change. So whoever
//! does not find it here finds it there, and nothing is held that can be read.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;

use super::fact::{Key, Place, Subject, Table, Value};
use crate::log::{self, Index};
use crate::model::Revision;

/// The facts, of which the index has the older ones.
#[derive(Debug, Default)]
pub(super) struct Facts {
    recent: DashMap<(Table, Subject), BTreeMap<Place, Recent>>,
    pub(super) index: Option<Arc<Index>>,
}

/// In which order facts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest place first.
    NewestFirst,
    /// The lowest place first.
    OldestFirst,
}

/// What became of a fact lately.
#[derive(Clone, Copy, Debug)]
struct Recent {
    /// `None` if it is one no longer.
    value: Option<Value>,
    /// The change that made it so.
    at: Revision,
}

impl Facts {
    /// Makes something a fact, or none. Only the applier calls it.
    pub(super) fn put(&self, key: Key, value: Option<Value>, at: Revision) {
        let mut about = self.recent.entry((key.table, key.subject)).or_default();
        about.insert(key.place, Recent { value, at });
    }

    /// Drops what the index has: `key`, unless it was changed after `complete_until`.
    pub(super) fn trim(&self, key: Key, complete_until: Revision) {
        self.recent.remove_if_mut(&(key.table, key.subject), |_, about| {
            if about.get(&key.place).is_some_and(|recent| recent.at <= complete_until) {
                about.remove(&key.place);
            }
            about.is_empty()
        });
    }

    /// Gives back the memory of what is gone, as after a long replay.
    pub(super) fn shrink(&self) {
        if self.recent.capacity() > 8 * (self.recent.len() + 1_024) {
            self.recent.shrink_to_fit();
        }
    }

    /// A fact, if it is one; `None` if memory does not know.
    pub(super) fn get_at_hand(&self, key: Key) -> Option<Option<Value>> {
        let about = self.recent.get(&(key.table, key.subject));
        let recent = about.and_then(|about| about.get(&key.place).copied());
        recent.map(|recent| recent.value).or_else(|| self.index.is_none().then_some(None))
    }

    /// A fact, if it is one. May read the index, which blocks for a moment.
    pub(super) fn get(&self, key: Key) -> Result<Option<Value>, log::Error> {
        // Memory is asked first: what it drops after that, the index has.
        match (self.get_at_hand(key), &self.index) {
            (Some(known), _) => Ok(known),
            (None, Some(index)) => {
                Ok(index.snapshot()?.fact(key.stored(), key.table.keep())?.map(Value::from_number))
            }
            (None, None) => Ok(None),
        }
    }

    /// Facts, each if it is one. May read the index once, which blocks for a moment.
    pub(super) fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, log::Error> {
        // Memory is asked for all of them first.
        let mut known: Vec<_> = keys.iter().map(|&key| self.get_at_hand(key)).collect();
        if let Some(index) = &self.index
            && known.iter().any(Option::is_none)
        {
            let snapshot = index.snapshot()?;
            for (known, key) in known.iter_mut().zip(keys).filter(|(known, _)| known.is_none()) {
                let value = snapshot.fact(key.stored(), key.table.keep())?;
                *known = Some(value.map(Value::from_number));
            }
        }
        Ok(known.into_iter().map(Option::flatten).collect())
    }

    /// The facts of a table about a subject that come after `from` in `order`: at most `max`, and
    /// fewer only if there are no more. May read the index, which blocks for a moment.
    pub(super) fn list(
        &self,
        about: (Table, Subject),
        from: Place,
        order: Order,
        max: usize,
    ) -> Result<Vec<(Place, Value)>, log::Error> {
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

            let mut merged: BTreeMap<Place, Option<Value>> =
                stored.into_iter().map(|(place, value)| (place, Some(value))).collect();
            merged.extend(recent.into_iter().map(|(place, recent)| (place, recent.value)));
            let mut merged: Vec<_> = merged.into_iter().collect();
            if order == Order::NewestFirst {
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

    /// The facts of a table about a subject whose places are revisions after `after`, oldest first:
    /// at most `max`; `None` if memory does not know.
    pub(super) fn list_at_hand(
        &self,
        about: (Table, Subject),
        after: Revision,
        max: usize,
    ) -> Option<Vec<(Place, Value)>> {
        let recent = self.recent(about, after.into(), Order::OldestFirst, max);
        // Asked after memory: what that had dropped by then is no newer.
        let is_all = self.index.as_ref().is_none_or(|index| index.complete_until() <= after);
        let facts = recent.into_iter().filter_map(|(place, recent)| Some((place, recent.value?)));
        is_all.then(|| facts.collect())
    }

    fn recent(
        &self,
        about: (Table, Subject),
        from: Place,
        order: Order,
        max: usize,
    ) -> Vec<(Place, Recent)> {
        use std::ops::Bound::{Excluded, Unbounded};

        let Some(recent) = self.recent.get(&about) else { return Vec::new() };
        let copied = |(&place, &recent): (&Place, &Recent)| (place, recent);
        match order {
            Order::NewestFirst => recent.range(..from).rev().map(copied).take(max).collect(),
            Order::OldestFirst => {
                recent.range((Excluded(from), Unbounded)).map(copied).take(max).collect()
            }
        }
    }

    fn stored(
        &self,
        (table, subject): (Table, Subject),
        from: Place,
        order: Order,
        max: usize,
    ) -> Result<Vec<(Place, Value)>, log::Error> {
        let Some(index) = &self.index else { return Ok(Vec::new()) };
        let (snapshot, about) = (index.snapshot()?, (table as u8, subject.number()));
        let stored = match order {
            Order::NewestFirst => snapshot.facts_before(about, from.number(), max),
            Order::OldestFirst => snapshot.facts_after(about, from.number(), max),
        };
        let fact = |(place, value)| (Place::from_number(place), Value::from_number(value));
        Ok(stored?.into_iter().map(fact).collect())
    }
}

impl Order {
    /// Which of two places comes first.
    fn compare(self, a: &Place, b: &Place) -> Ordering {
        match self {
            Self::NewestFirst => b.cmp(a),
            Self::OldestFirst => a.cmp(b),
        }
    }
}
