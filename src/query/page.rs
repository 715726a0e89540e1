//! Making a page of what is read: as many items as were asked for, of no more rows than may be
//! looked at.

use crate::model::Revision;
use crate::state::{ReadError, Reading};
use crate::storage;

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// What is left comes before this; `None` if nothing is.
    pub(crate) next: Option<Revision>,
}

impl Reading<'_> {
    /// What `keep` makes of `rows`, which are newest first and come with their places: at most
    /// `items_max` of that, and of no more rows than may be looked at.
    pub(crate) fn part_of<R, T>(
        &self,
        rows: impl Iterator<Item = Result<(Revision, R), storage::Error>>,
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
