//! The tables of marks: a list for each user, to whose end marks are appended. No mark is removed
//! or changed.
//!
//! ```text
//!   (user 7, mark 3) ──▶ check ◀┐ the check of a row covers the mark before it,
//!   (user 7, mark 9) ──▶ check ─┘ its own mark, and the user
//!   (user 7, END)    ──▶ check    every user has this row
//! ```
//!
//! A read that passes a missing or changed row fails, also before it answers that there are no more
//! marks. Each read also verifies that it found the position that it searched for. It never detects that
//! the end of a list is of an earlier state: the [checks of blocks](super::blocks) do.

use std::io;
use std::ops::{Bound, Range};

use redb::{ReadableTable, Table, TableDefinition};

use super::tables::check;
use crate::model::Mark;

/// (user, mark) → check.
pub(super) type Chain = TableDefinition<'static, Key, u64>;

type Key = (u32, u64);

/// The lists of [`TimelineKind::Posts`](super::TimelineKind::Posts).
pub(super) const POSTS_OF: Chain = TableDefinition::new("posts_of");
/// The lists of [`TimelineKind::Changes`](super::TimelineKind::Changes).
pub(super) const CHANGES_OF: Chain = TableDefinition::new("changes_of");

/// The mark before the first: no row has it.
pub(super) const START: u64 = 0;
/// The mark of the last row of each list.
pub(super) const END: u64 = u64::MAX;

/// Marks by user, each rising.
pub(super) type SortedMarks<'a> = &'a mut dyn Iterator<Item = io::Result<(Key, ())>>;
/// Takes a user and the last of their new marks.
pub(super) type EachLast<'a> = &'a mut dyn FnMut(u32, u64) -> Result<(), redb::Error>;

/// Makes the lists of `users`, who are all that have marks, in an empty table.
pub(super) fn fill(
    chains: &mut Table<'_, Key, u64>,
    users: Range<u32>,
    sorted: SortedMarks<'_>,
    each_last: EachLast<'_>,
) -> Result<(), redb::Error> {
    let mut sorted = sorted.peekable();
    let mut end = chains.upper_bound_mut(Bound::<Key>::Unbounded)?;
    for user in users {
        let mut last = START;
        let is_of_user =
            |row: &io::Result<(Key, ())>| row.as_ref().map_or(true, |&((of, _), ())| of == user);
        while let Some(row) = sorted.next_if(is_of_user) {
            let mark = row?.0.1;
            end.insert_before((user, mark), check::chained_mark(user, last, mark))?;
            last = mark;
        }
        end.insert_before((user, END), check::chained_mark(user, last, END))?;
        if last != START {
            each_last(user, last)?;
        }
    }
    end.close()?;
    Ok(())
}

/// Begins the lists of `new_users`, and appends marks to lists.
pub(super) fn extend(
    chains: &mut Table<'_, Key, u64>,
    new_users: Range<u32>,
    sorted: SortedMarks<'_>,
    each_last: EachLast<'_>,
) -> Result<(), redb::Error> {
    for user in new_users {
        insert(chains, user, START, END)?;
    }
    let mut sorted = sorted.peekable();
    let mut marks = Vec::new();
    while let Some(row) = sorted.next() {
        let ((user, mark), ()) = row?;
        marks.push(mark);
        if !matches!(sorted.peek(), Some(Ok(((next, _), ()))) if *next == user) {
            append(chains, user, &marks)?;
            each_last(user, mark)?;
            marks.clear();
        }
    }
    Ok(())
}

/// Appends rising marks to `user`'s list.
fn append(chains: &mut Table<'_, Key, u64>, user: u32, marks: &[u64]) -> Result<(), redb::Error> {
    let last = chains.range((user, START)..(user, END))?.next_back().transpose()?;
    let mut last = mark_of(user, last.map(|(key, _)| key.value()));
    let check = chains.get((user, END))?.map(|check| check.value());
    verify(user, last, END, check.ok_or_else(|| broken(user))?)?;
    for &mark in marks {
        debug_assert!(last < mark && mark < END, "marks rise");
        insert(chains, user, last, mark)?;
        last = mark;
    }
    insert(chains, user, last, END)
}

/// The newest marks of `user` before `before`, newest first, at most `max`; `None` if the user has
/// no list.
pub(super) fn newest_before(
    chains: &impl ReadableTable<Key, u64>,
    user: u32,
    before: Mark,
    max: usize,
) -> Result<Option<Vec<Mark>>, redb::Error> {
    let before = before.number();
    let newer = chains.range((user, before)..=(user, END))?.next().transpose()?;
    let newer = newer.map(|(key, check)| (key.value(), check.value()));
    let Some(((_, mut newer), mut check)) = newer.filter(|&((of, _), _)| of == user) else {
        return Ok(None);
    };
    if newer < before {
        return Err(broken(user));
    }
    let mut found = Vec::new();
    let mut older = chains.range((user, START)..(user, before))?.rev();
    loop {
        let row = older.next().transpose()?.map(|(key, check)| (key.value(), check.value()));
        let mark = mark_of(user, row.map(|(key, _)| key));
        verify(user, mark, newer, check)?;
        if newer < before {
            found.push(Mark::from_number(newer));
        }
        match row {
            // The search ended at a wrong row.
            _ if mark >= before && mark != START => return Err(broken(user)),
            Some((_, older_check)) if mark != START && found.len() < max => {
                (newer, check) = (mark, older_check);
            }
            _ => return Ok(Some(found)),
        }
    }
}

/// The oldest marks of `user` after `after`, oldest first, at most `max`; `None` if the user has no
/// list.
pub(super) fn oldest_after(
    chains: &impl ReadableTable<Key, u64>,
    user: u32,
    after: Mark,
    max: usize,
) -> Result<Option<Vec<Mark>>, redb::Error> {
    let after = after.number();
    let previous = chains.range((user, START)..=(user, after))?.next_back().transpose()?;
    let mut previous = mark_of(user, previous.map(|(key, _)| key.value()));
    if previous > after {
        return Err(broken(user));
    }
    let mut found = None;
    for row in chains.range((user, after.saturating_add(1))..=(user, END))? {
        let (key, check) = row?;
        let (of, mark) = key.value();
        if of != user || mark <= after {
            return Err(broken(user));
        }
        verify(user, previous, mark, check.value())?;
        let found = found.get_or_insert_with(Vec::new);
        if mark == END || found.len() >= max {
            return Ok(Some(std::mem::take(found)));
        }
        found.push(Mark::from_number(mark));
        previous = mark;
    }
    // Every list ends with a row at END.
    if found.is_none() { Ok(None) } else { Err(broken(user)) }
}

/// The error for a list that fails its checks.
pub(super) fn broken(user: u32) -> redb::Error {
    redb::Error::Corrupted(format!("marks of user {user} are missing"))
}

/// The mark of `key` if that is of `user`'s list, else [`START`].
fn mark_of(user: u32, key: Option<Key>) -> u64 {
    key.filter(|&(of, _)| of == user).map_or(START, |(_, mark)| mark)
}

fn verify(user: u32, previous: u64, mark: u64, check: u64) -> Result<(), redb::Error> {
    if check::chained_mark(user, previous, mark) == check { Ok(()) } else { Err(broken(user)) }
}

fn insert(
    chains: &mut Table<'_, Key, u64>,
    user: u32,
    previous: u64,
    mark: u64,
) -> Result<(), redb::Error> {
    chains.insert((user, mark), check::chained_mark(user, previous, mark))?;
    Ok(())
}
