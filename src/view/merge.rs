//! Merging the lists of many authors into one, without looking at more of them than needed.
//!
//! Pure: what a list holds is asked of the caller, a mark at a time; if the caller cannot say,
//! the merge ends with the caller's reason.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::Mark;

/// The `max` newest marks of all lists, newest first, and whether there are more.
///
/// `heads` has the newest mark of each list that has one; `older(list, mark)` gives the
/// newest of that list before `mark`.
///
/// # Errors
/// The first of the caller's.
pub fn newest_first<L: Copy, E>(
    heads: impl Iterator<Item = Result<(Mark, L), E>>,
    max: usize,
    older: impl FnMut(L, Mark) -> Result<Option<Mark>, E>,
) -> Result<(Vec<Mark>, bool), E> {
    // One beyond the page tells whether there is another.
    let mut merged = merge(heads, max.saturating_add(1), older)?;
    let more = merged.len() > max;
    merged.truncate(max);
    Ok((merged, more))
}

/// The `max` oldest marks of all lists, oldest first.
///
/// `heads` has the oldest mark of each list that has one; `newer(list, mark)` gives the
/// oldest of that list after `mark`.
///
/// # Errors
/// The first of the caller's.
pub fn oldest_first<L: Copy, E>(
    heads: impl Iterator<Item = Result<(Mark, L), E>>,
    max: usize,
    mut newer: impl FnMut(L, Mark) -> Result<Option<Mark>, E>,
) -> Result<Vec<Mark>, E> {
    let heads = heads.map(|head| head.map(|(mark, list)| (Reverse(mark), list)));
    let newer = |list, Reverse(mark)| Ok(newer(list, mark)?.map(Reverse));
    let merged = merge(heads, max, newer)?;
    Ok(merged.into_iter().map(|Reverse(mark)| mark).collect())
}

/// The `max` greatest keys of all lists, greatest first.
fn merge<K: Ord + Copy, L: Copy, E>(
    heads: impl Iterator<Item = Result<(K, L), E>>,
    max: usize,
    mut next: impl FnMut(L, K) -> Result<Option<K>, E>,
) -> Result<Vec<K>, E> {
    let heads = heads.map(|head| head.map(|(key, list)| Head { key, list }));
    let mut heap: BinaryHeap<Head<K, L>> = heads.collect::<Result<_, E>>()?;
    let mut merged = Vec::with_capacity(max.min(heap.len().max(16)));
    while merged.len() < max
        && let Some(mut top) = heap.peek_mut()
    {
        merged.push(top.key);
        match next(top.list, top.key)? {
            // The heap sorts the head anew when `top` goes.
            Some(key) => top.key = key,
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
    }
    Ok(merged)
}

/// The greatest key of a list that was not taken yet. Ordered by the key alone.
struct Head<K, L> {
    key: K,
    list: L,
}

impl<K: Ord, L> Ord for Head<K, L> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<K: Ord, L> PartialOrd for Head<K, L> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, L> PartialEq for Head<K, L> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, L> Eq for Head<K, L> {}
