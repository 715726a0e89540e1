//! A merge of many sorted lists into one. It never reads more of a list than its next mark.
//!
//! The merge reads nothing itself: the caller supplies each list's next mark while the merged marks
//! are consumed. An error of the caller becomes an item of the merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::model::Mark;

/// A merged mark with its list, or the caller's error.
pub type MergedMark<L, E> = Result<(Mark, L), E>;

/// The marks of all lists, newest first, each with its list.
///
/// `heads` has the newest mark of each list; `older(list, mark)` returns the newest mark of that
/// list before `mark`.
///
/// # Errors
/// The first error of `heads`.
pub fn newest_first<L: Copy, E>(
    heads: impl Iterator<Item = MergedMark<L, E>>,
    older: impl FnMut(L, Mark) -> Result<Option<Mark>, E>,
) -> Result<impl Iterator<Item = MergedMark<L, E>>, E> {
    Merge::new(heads, older)
}

/// The marks of all lists, oldest first, each with its list.
///
/// `heads` has the oldest mark of each list; `newer(list, mark)` returns the oldest mark of that
/// list after `mark`.
///
/// # Errors
/// The first error of `heads`.
pub fn oldest_first<L: Copy, E>(
    heads: impl Iterator<Item = MergedMark<L, E>>,
    mut newer: impl FnMut(L, Mark) -> Result<Option<Mark>, E>,
) -> Result<impl Iterator<Item = MergedMark<L, E>>, E> {
    let heads = heads.map(|head| head.map(|(mark, list)| (Reverse(mark), list)));
    let newer = move |list, Reverse(mark)| Ok(newer(list, mark)?.map(Reverse));
    let merged = Merge::new(heads, newer)?;
    Ok(merged.map(|next| next.map(|(Reverse(mark), list)| (mark, list))))
}

/// The keys of all lists, greatest first.
struct Merge<K, L, F> {
    heap: BinaryHeap<Head<K, L>>,
    next: F,
}

impl<K: Ord + Copy, L: Copy, F> Merge<K, L, F> {
    fn new<E>(heads: impl Iterator<Item = Result<(K, L), E>>, next: F) -> Result<Self, E> {
        // For all lists at once: nearly each of them has a head.
        let mut all = Vec::with_capacity(heads.size_hint().1.unwrap_or(0));
        for head in heads {
            let (key, list) = head?;
            all.push(Head { key, list });
        }
        Ok(Self { heap: all.into(), next })
    }
}

impl<K, L, E, F> Iterator for Merge<K, L, F>
where
    K: Ord + Copy,
    L: Copy,
    F: FnMut(L, K) -> Result<Option<K>, E>,
{
    type Item = Result<(K, L), E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut top = self.heap.peek_mut()?;
        let (key, list) = (top.key, top.list);
        match (self.next)(list, key) {
            // The heap moves the changed head when `top` is dropped.
            Ok(Some(next)) => {
                debug_assert!(next < key, "a list is not in order");
                top.key = next;
            }
            Ok(None) => drop(PeekMut::pop(top)),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok((key, list)))
    }
}

/// The greatest key of a list that is not consumed yet. Ordered by the key alone.
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
