//! Going through a list of facts, however long, some at a time.

use std::vec;

use super::fact::{Place, Subject, Table, Value};
use super::facts::{Facts, Order};
use super::{ReadError, Reading};
use crate::log;
use crate::model::Revision;

/// Most facts that are read at once.
const CHUNK_MAX: usize = 1_024;

/// The facts of a table about a subject, in order.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    facts: &'a Facts,
    about: (Table, Subject),
    order: Order,
    /// What comes after this is not read yet.
    from: Place,
    read: vec::IntoIter<(Place, Value)>,
    /// How many are read next; 0 at the end.
    read_next: usize,
}

impl<'a> Listing<'a> {
    /// What comes after `from` in `order`. `expected` is how many will probably be taken.
    pub(super) fn new(
        facts: &'a Facts,
        about: (Table, Subject),
        order: Order,
        from: Place,
        expected: usize,
    ) -> Self {
        let (read, read_next) = (Vec::new().into_iter(), expected.clamp(1, CHUNK_MAX));
        Self { facts, about, order, from, read, read_next }
    }
}

impl Iterator for Listing<'_> {
    type Item = Result<(Place, Value), log::Error>;

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

/// A part of a list.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    /// What is left comes before this; `None` if nothing is.
    pub(super) next: Option<Revision>,
}

impl Reading<'_> {
    /// What `keep` makes of `rows`, which are newest first and come with their places: at most
    /// `items_max` of that, and of no more rows than may be looked at.
    pub(super) fn part_of<R, T>(
        &self,
        rows: impl Iterator<Item = Result<(Revision, R), log::Error>>,
        items_max: usize,
        mut keep: impl FnMut(Revision, R) -> Option<T>,
    ) -> Result<Part<T>, ReadError> {
        let mut items = Vec::new();
        let mut reached = None;
        for (looked, row) in rows.enumerate() {
            self.caller().check()?;
            let (place, row) = row?;
            if looked >= self.looks_max {
                return Ok(Part { items, next: reached });
            }
            if let Some(item) = keep(place, row) {
                if items.len() >= items_max {
                    return Ok(Part { items, next: reached });
                }
                items.push(item);
            }
            reached = Some(place);
        }
        Ok(Part { items, next: None })
    }
}
