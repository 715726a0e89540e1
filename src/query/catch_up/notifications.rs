//! The notification events that a stream missed, or the notifications of a snapshot; and whether a
//! delivered notification is still shown. Never changes the position that the user has seen.

use std::sync::Arc;

use super::feed::{Backlog, BacklogKind};
use crate::model::{Change, Event, Mark, Post, PostId, Revision, UserId};
use crate::query::notifications::{check_kind, is_shown};
use crate::query::results::Notification;
use crate::query::{Query, Source, Unanswered};
use crate::state::State;
use crate::state::records::ListOrder;
use crate::state::records::record::{NotificationKind, NotificationRecord, Table};
use crate::state::users::UserIx;
use crate::storage::TimelineKind;

/// The notification events of a user in a range of revisions, oldest first.
#[derive(Clone, Debug)]
pub struct NotificationBacklog {
    /// The user who is notified.
    pub user: UserId,
    /// The range starts after this revision.
    pub after: Revision,
    /// The range ends with this revision, which must be applied.
    pub until: Revision,
    /// All events, or only the notifications that a page has.
    pub kind: BacklogKind,
    /// The maximum number of events that are read.
    pub events_max: usize,
}

/// An event of a user's notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// A new notification.
    New(Arc<Notification>),
    /// A change that hides or shows notifications, or moves the seen position.
    Change(Revision, Change),
}

/// A possible event of the backlog.
#[derive(Clone, Copy, Debug)]
enum Candidate {
    Notification(NotificationRecord),
    Change,
}

impl Query for NotificationBacklog {
    type Answer = Backlog<NotificationEvent>;

    fn answer(&self, source: &Source<'_>) -> Result<Backlog<NotificationEvent>, Unanswered> {
        let Self { after, until, kind, events_max, .. } = *self;
        let Some(user) = source.state.users.get(&self.user) else {
            return Ok(Backlog { events: Vec::new(), reached: until });
        };
        let mut candidates = records_after(source, user, after, events_max)?;
        if kind == BacklogKind::Events {
            let changes = changes_after(source, user, after, events_max)?;
            candidates.extend(changes.into_iter().map(|revision| (revision, Candidate::Change)));
        }
        candidates.sort_unstable_by_key(|&(revision, _)| revision);
        candidates.retain(|&(revision, _)| revision <= until);
        // Each of the lists has all candidates up to here.
        let is_all = candidates.len() < events_max;
        candidates.truncate(events_max);
        let last = candidates.last().filter(|_| !is_all);
        let reached = last.map_or(until, |&(revision, _)| revision);

        candidates.retain(|&(revision, candidate)| match candidate {
            Candidate::Change => true,
            Candidate::Notification(record) => {
                let as_of = if kind == BacklogKind::Items { Revision::MAX } else { revision };
                was_shown(source.state, user, revision, record, as_of)
            }
        });
        let revisions: Vec<_> = candidates.iter().map(|&(revision, _)| revision).collect();
        let read = source.log_events(&revisions)?;
        let mut events = Vec::with_capacity(candidates.len());
        for ((revision, candidate), event) in candidates.into_iter().zip(read) {
            events.extend(match candidate {
                Candidate::Change => Some(NotificationEvent::Change(revision, event.change)),
                // `None` for a post that was deleted and erased meanwhile.
                Candidate::Notification(record) => {
                    let notification = notification(source.state, revision, &event, record)?;
                    notification.map(|new| NotificationEvent::New(Arc::new(new)))
                }
            });
        }
        Ok(Backlog { events, reached })
    }
}

/// Whether a delivered `notification` is still shown to `user`.
pub(crate) fn is_still_shown(state: &State, user: &UserId, notification: &Notification) -> bool {
    let Some((user, actor)) = state.users.get(user).zip(state.users.get(&notification.actor))
    else {
        return false;
    };
    let post = notification.subject.map_or(Revision::ZERO, PostId::revision);
    let record = NotificationRecord { kind: notification.kind, actor, post };
    let revision = notification.revision;
    was_shown(state, user, revision, record, revision)
}

/// Whether a notification of the event at `revision` is shown to `user`, and its actor was not
/// hidden at `as_of`.
fn was_shown(
    state: &State,
    user: UserIx,
    revision: Revision,
    record: NotificationRecord,
    as_of: Revision,
) -> bool {
    is_shown(state, user, revision, record)
        && state.visibility.shown_since(user, record.actor) < as_of
}

/// Notification records of `user` after `after`: at least the oldest `max`, if there are so many.
/// The order is not defined.
fn records_after(
    source: &Source<'_>,
    user: UserIx,
    after: Revision,
    max: usize,
) -> Result<Vec<(Revision, Candidate)>, Unanswered> {
    let mut candidates = Vec::new();
    for table in [Table::Notifications, Table::Followers] {
        let about = (table, user.into());
        for (position, value) in source.list(about, after.into(), ListOrder::OldestFirst, max)? {
            let record = NotificationRecord::from_row(table, value);
            candidates.push((position.revision(), Candidate::Notification(record)));
        }
    }
    Ok(candidates)
}

/// The revisions of `user`'s changes after `after`, oldest first, at most `max`.
fn changes_after(
    source: &Source<'_>,
    user: UserIx,
    after: Revision,
    max: usize,
) -> Result<Vec<Revision>, Unanswered> {
    let mut changes = Vec::new();
    if !source.state.change_timelines.may_have(user, after) {
        return Ok(changes);
    }
    let mut after = Mark::before(after.next()).previous();
    while changes.len() < max
        && let Some(found) = source.oldest_after(TimelineKind::Changes, user, after)?
    {
        changes.push(found.revision());
        after = found;
    }
    Ok(changes)
}

/// The notification of the event at `revision`; `None` if its post is erased.
fn notification(
    state: &State,
    revision: Revision,
    event: &Event,
    record: NotificationRecord,
) -> Result<Option<Notification>, Unanswered> {
    check_kind(record.kind, revision, event)?;
    let post = match (record.kind, &event.change) {
        (NotificationKind::Follow | NotificationKind::Like | NotificationKind::Repost, _) => None,
        (_, Change::Publish { author, content, .. }) => {
            let (author, content) = (author.clone(), content.clone());
            Some(Arc::new(Post::new(revision, author, content, event.time)))
        }
        _ => return Ok(None),
    };
    let (actor, subject) = (state.users.name(record.actor), record.subject());
    let (kind, time) = (record.kind, event.time);
    Ok(Some(Notification { revision, time, kind, actor, subject, post }))
}
