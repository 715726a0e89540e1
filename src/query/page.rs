//! Pages of lists: where one begins, how it is filled, and where the next goes on.

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
    /// What is left comes before this; `None` if nothing is.
    pub(super) next: Option<Revision>,
}

/// The position that a listing began with, and the revision that the page has to be older than.
pub(super) fn bounds(state: &State, position: Option<PagePosition>) -> (Revision, Revision) {
    match position {
        Some(PagePosition { before, at }) => (at, before.min(at.next())),
        None => {
            let at = state.applied();
            (at, at.next())
        }
    }
}

/// The records about something at positions before `before`, newest first, for a page.
pub(super) fn newest_first<'a>(
    source: &'a Source<'a>,
    about: (Table, Subject),
    before: Revision,
    items_max: usize,
) -> RecordScan<'a> {
    let expected = items_max.saturating_add(1);
    RecordScan::new(source, about, ListOrder::NewestFirst, before.into(), expected)
}

/// What `keep` makes of `rows`, which are newest first and come with their positions: at most
/// `items_max` items, of no more rows than may be looked at.
///
/// # Errors
/// Those of `rows`; or the caller has gone away.
pub(super) fn take<R, T>(
    source: &Source<'_>,
    rows: impl Iterator<Item = Result<(Revision, R), Unanswered>>,
    items_max: usize,
    mut keep: impl FnMut(Revision, R) -> Option<T>,
) -> Result<ListPart<T>, Unanswered> {
    let mut items = Vec::new();
    let mut reached = None;
    for (looked, row) in rows.enumerate() {
        let (position, row) = row?;
        if looked >= source.looks_max() {
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

/// A page of a listing that began at `at`, and goes on before `next`.
pub(super) fn page<T>(items: Vec<T>, next: Option<Revision>, at: Revision) -> Page<T> {
    Page { items, next: next.map(|before| PagePosition { before, at }), at }
}
