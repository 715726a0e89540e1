//! Merging the lists of many authors into one, without looking at more of them than needed.
//!
//! Pure: the caller gives the marks of each list, one at a time, as the merged marks are taken. If it
//! fails to, its error comes out in their place.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::model::Mark;

/// A merged mark with its list, or the caller's error.
pub type MergedMark<L, E> = Result<(Mark, L), E>;

/// The marks of all lists, newest first, each with its list.
///
/// `heads` has the newest mark of each list that has one; `older(list, mark)` gives the
/// newest of that list before `mark`.
///
/// # Errors
/// The first of the caller's.
pub fn newest_first<L: Copy, E>(
    heads: impl Iterator<Item = MergedMark<L, E>>,
    older: impl FnMut(L, Mark) -> Result<Option<Mark>, E>,
) -> Result<impl Iterator<Item = MergedMark<L, E>>, E> {
    Merge::new(heads, older)
}

/// The marks of all lists, oldest first, each with its list.
///
/// `heads` has the oldest mark of each list that has one; `newer(list, mark)` gives the
/// oldest of that list after `mark`.
///
/// # Errors
/// The first of the caller's.
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
        let heads = heads.map(|head| head.map(|(key, list)| Head { key, list }));
        Ok(Self { heap: heads.collect::<Result<_, E>>()?, next })
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
            // The heap sorts the head anew when `top` goes.
            Ok(Some(next)) => top.key = next,
            Ok(None) => drop(PeekMut::pop(top)),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok((key, list)))
    }
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
