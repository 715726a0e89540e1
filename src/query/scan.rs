//! Going through a list of records, however long, some at a time.

use std::vec;

use super::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Subject, Table, Value};

/// Most records that are read at once.
const CHUNK_MAX: usize = 1_024;

/// The records of a table about a subject, in order.
#[derive(Debug)]
pub(super) struct RecordScan<'a> {
    source: &'a Source<'a>,
    about: (Table, Subject),
    order: ListOrder,
    /// What comes after this is not read yet.
    from: Position,
    read: vec::IntoIter<(Position, Value)>,
    /// How many are read next; 0 at the end.
    read_next: usize,
}

impl<'a> RecordScan<'a> {
    /// What comes after `from` in `order`. `expected` is how many will probably be taken.
    pub(super) fn new(
        source: &'a Source<'a>,
        about: (Table, Subject),
        order: ListOrder,
        from: Position,
        expected: usize,
    ) -> Self {
        let (read, read_next) = (Vec::new().into_iter(), expected.clamp(1, CHUNK_MAX));
        Self { source, about, order, from, read, read_next }
    }
}

impl Iterator for RecordScan<'_> {
    type Item = Result<(Position, Value), Unanswered>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.as_slice().is_empty() && self.read_next > 0 {
            let read = self.source.list(self.about, self.from, self.order, self.read_next);
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
            self.from = read.last().map_or(self.from, |&(position, _)| position);
            self.read = read.into_iter();
        }
        self.read.next().map(Ok)
    }
}
