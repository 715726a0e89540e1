//! Going through a list of facts, however long, some at a time.

use std::vec;

use super::record::{Position, Subject, Table, Value};
use super::{Order, Records};
use crate::storage;

/// Most facts that are read at once.
const CHUNK_MAX: usize = 1_024;

/// The facts of a table about a subject, in order.
#[derive(Debug)]
pub(crate) struct RecordScan<'a> {
    facts: &'a Records,
    about: (Table, Subject),
    order: Order,
    /// What comes after this is not read yet.
    from: Position,
    read: vec::IntoIter<(Position, Value)>,
    /// How many are read next; 0 at the end.
    read_next: usize,
}

impl<'a> RecordScan<'a> {
    /// What comes after `from` in `order`. `expected` is how many will probably be taken.
    pub(crate) fn new(
        facts: &'a Records,
        about: (Table, Subject),
        order: Order,
        from: Position,
        expected: usize,
    ) -> Self {
        let (read, read_next) = (Vec::new().into_iter(), expected.clamp(1, CHUNK_MAX));
        Self { facts, about, order, from, read, read_next }
    }
}

impl Iterator for RecordScan<'_> {
    type Item = Result<(Position, Value), storage::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.as_slice().is_empty() && self.read_next > 0 {
            let read = self.facts.list(self.about, self.from, self.order, self.read_next);
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    self.read_next = 0;
                    return Some(Err(error));
                }
            };
            // Whoever takes more than expected takes many more.
            let is_all = read.len() < self.read_next;
            self.read_next = if is_all { 0 } else { (2 * self.read_next).min(CHUNK_MAX) };
            self.from = read.last().map_or(self.from, |&(place, _)| place);
            self.read = read.into_iter();
        }
        self.read.next().map(Ok)
    }
}
