//! Pages of lists: their bounds, their items, and the position of the next page. Never reads a page
//! longer than its limits.

use super::results::{Page, PagePosition};
use super::scan::RecordScan;
use super::{Source, Unanswered};
use crate::model::Revision;
use crate::state::State;
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Subject, Table, Value};

/// A part of a list.
#[derive(Debug)]
pub(super) struct ListPart<T> {
    pub(super) items: Vec<T>,
    /// The rest of the list is before this; `None` at the end of the list.
    pub(super) next: Option<Revision>,
}

/// The revision at which the listing was started, and the revision that all rows of the page are
/// older than.
pub(super) fn bounds(state: &State, position: Option<PagePosition>) -> (Revision, Revision) {
    match position {
        Some(PagePosition { before, at }) => (at, before.min(at.next())),
        None => {
            let at = state.applied();
            (at, at.next())
        }
    }
}

/// The records of the list `about` before `before`, newest first, for a page.
pub(super) fn newest_first<'a>(
    source: &'a Source<'a>,
    about: (Table, Subject),
    before: Revision,
    items_max: usize,
) -> RecordScan<'a> {
    // One more tells whether a page follows. A query outside the API may have any `items_max`.
    let expected = items_max.saturating_add(1);
    RecordScan::new(source, about, ListOrder::NewestFirst, before.into(), expected)
}

/// The items that `keep` makes of `rows`, which are newest first and have their positions: at most
/// `items_max` items, from at most [`Source::scan_max`] rows.
///
/// # Errors
/// An error of `rows`; or the call is cancelled.
pub(super) fn collect<R, T>(
    source: &Source<'_>,
    rows: impl Iterator<Item = Result<(Revision, R), Unanswered>>,
    items_max: usize,
    mut keep: impl FnMut(Revision, R) -> Option<T>,
) -> Result<ListPart<T>, Unanswered> {
    let mut items = Vec::new();
    let mut reached = None;
    for (scanned, row) in rows.enumerate() {
        let (position, row) = row?;
        if scanned >= source.scan_max() {
            return Ok(ListPart { items, next: reached });
        }
        match keep(position, row) {
            Some(_) if items.len() >= items_max => return Ok(ListPart { items, next: reached }),
            Some(item) => items.push(item),
            None => {}
        }
        source.skip(1)?;
        reached = Some(position);
    }
    Ok(ListPart { items, next: None })
}

/// A row with its position as a revision.
pub(super) fn by_revision<E>(row: Result<(Position, Value), E>) -> Result<(Revision, Value), E> {
    row.map(|(position, value)| (position.revision(), value))
}

/// A page of a listing that was started at `at`; the next page is before `next`.
pub(super) fn page<T>(items: Vec<T>, next: Option<Revision>, at: Revision) -> Page<T> {
    Page { items, next: next.map(|before| PagePosition { before, at }), at }
}
