//! A scan of a list of records in chunks. It never reads more than one chunk at once, so the length
//! of the list has no limit.

use std::vec;

use super::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Subject, Table, Value};

/// The maximum number of records in one chunk.
const CHUNK_MAX: usize = 1_024;

/// The records of the list `about`, in order.
#[derive(Debug)]
pub(super) struct RecordScan<'a> {
    source: &'a Source<'a>,
    about: (Table, Subject),
    order: ListOrder,
    /// The position of the last record that was read.
    from: Position,
    read: vec::IntoIter<(Position, Value)>,
    /// The size of the next chunk; 0 at the end.
    read_next: usize,
}

impl<'a> RecordScan<'a> {
    /// The records after `from` in `order`. `expected` is the size of the first chunk.
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
            // A caller that needs more records than expected often needs many more.
            let is_all = read.len() < self.read_next;
            self.read_next = if is_all { 0 } else { (2 * self.read_next).min(CHUNK_MAX) };
            self.from = read.last().map_or(self.from, |&(position, _)| position);
            self.read = read.into_iter();
        }
        self.read.next().map(Ok)
    }
}
