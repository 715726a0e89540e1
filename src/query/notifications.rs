//! Pages of notifications, newest first, and the number of unseen ones.
//!
//! Follows are read from the list of followers, all others from the notification records. Neither
//! list has a like, a repost or a follow that was removed. A notification of a deleted post, or of
//! an actor whom the user hides, is never shown: each read filters it.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use super::results::{Notification, NotificationPage, PagePosition};
use super::scan::RecordScan;
use super::{Query, Source, Unanswered, page};
use crate::model::{Change, Event, Post, PostId, Revision, UserId};
use crate::state::records::record::{
    Key, NotificationKind, NotificationRecord, Position, Table, Value,
};
use crate::state::users::UserIx;
use crate::state::{MissingEvent, State};

/// A page of the notifications of a user, newest first.
///
/// Fails if the position is not of this log.
#[derive(Clone, Debug)]
pub struct ListNotifications {
    /// The user who is notified, and who reads.
    pub user: UserId,
    /// The maximum number of items.
    pub items_max: usize,
    /// The start of the page; `None` for the newest.
    pub position: Option<PagePosition>,
}

/// The notification records and the followers of a user, merged, newest first.
struct MergedNotifications<'a> {
    records: Peekable<RecordScan<'a>>,
    followers: Peekable<RecordScan<'a>>,
}

impl Query for ListNotifications {
    type Answer = NotificationPage;

    fn answer(&self, source: &Source<'_>) -> Result<NotificationPage, Unanswered> {
        source.check_position(self.position)?;
        let (at, before) = page::bounds(source.state, self.position);
        let Some(user) = source.state.users.get(&self.user) else {
            let (page, seen_until) = (page::page(Vec::new(), None, at), Revision::ZERO);
            return Ok(NotificationPage { page, unseen: 0, seen_until });
        };
        let seen_until = source.record(Key::of(Table::Seen, user))?;
        let seen_until = seen_until.map_or(Revision::ZERO, Value::revision);
        let keep = |revision, record: NotificationRecord| {
            is_shown(source.state, user, revision, record).then_some((revision, record))
        };
        let unseen = all(source, user, at.next(), self.items_max)
            .take_while(|it| !matches!(it, Ok((revision, _)) if *revision <= seen_until));
        let unseen =
            page::collect(source, unseen, source.limits.unseen_count_max, keep)?.items.len();
        loop {
            let rows = all(source, user, before, self.items_max);
            let listed = page::collect(source, rows, self.items_max, keep)?;
            // Read again if a post was deleted meanwhile, because the page would be short.
            if let Some(items) = in_full(source, &listed.items)? {
                let page = page::page(items, listed.next, at);
                return Ok(NotificationPage { page, unseen, seen_until });
            }
        }
    }
}

/// Whether a notification of the event at `revision` is shown to `user`: none of its posts was
/// deleted, and its actor is not hidden from them.
pub(super) fn is_shown(
    state: &State,
    user: UserIx,
    revision: Revision,
    record: NotificationRecord,
) -> bool {
    !state.visibility.is_hidden(user, record.actor)
        && (record.post == Revision::ZERO || !state.is_retracted(record.post))
        && (!record.kind.is_of_a_post() || !state.is_retracted(revision))
}

/// The notifications before `before` that are shown to `user`, newest first, from at most
/// [`Source::scan_max`] ones.
pub(super) fn shown<'a>(
    source: &'a Source<'a>,
    user: UserIx,
    before: Revision,
    items_max: usize,
) -> impl Iterator<Item = Result<(Revision, NotificationRecord), Unanswered>> {
    let all = all(source, user, before, items_max).take(source.scan_max());
    all.filter(move |it| match it {
        Ok((revision, record)) => is_shown(source.state, user, *revision, *record),
        Err(_) => true,
    })
}

/// All notifications of `user` before `before`, newest first, shown or not.
fn all<'a>(
    source: &'a Source<'a>,
    user: UserIx,
    before: Revision,
    items_max: usize,
) -> MergedNotifications<'a> {
    let list =
        |table| page::newest_first(source, (table, user.into()), before, items_max).peekable();
    MergedNotifications { records: list(Table::Notifications), followers: list(Table::Followers) }
}

impl Iterator for MergedNotifications<'_> {
    type Item = Result<(Revision, NotificationRecord), Unanswered>;

    fn next(&mut self) -> Option<Self::Item> {
        // Errors come first: they have no position.
        let position = |row: Option<&Result<(Position, Value), Unanswered>>| {
            row.map(|row| row.as_ref().map_or(Position::LAST, |&(position, _)| position))
        };
        let (table, row) = if position(self.records.peek()) >= position(self.followers.peek()) {
            (Table::Notifications, self.records.next()?)
        } else {
            (Table::Followers, self.followers.next()?)
        };
        Some(row.map(|(position, value)| {
            (position.revision(), NotificationRecord::from_row(table, value))
        }))
    }
}

/// The notifications with their times and posts; `None` if a post was deleted since they were
/// listed.
fn in_full(
    source: &Source<'_>,
    listed: &[(Revision, NotificationRecord)],
) -> Result<Option<Vec<Notification>>, Unanswered> {
    let (of_posts, others): (Vec<_>, Vec<_>) =
        listed.iter().copied().partition(|(_, record)| record.kind.is_of_a_post());
    let ids: Vec<_> =
        of_posts.iter().map(|&(revision, _)| PostId::from_revision(revision)).collect();
    let Some(posts) = source.all_posts(&ids)? else { return Ok(None) };
    let mut posts: HashMap<Revision, Arc<Post>> =
        posts.into_iter().map(|post| (post.revision, post)).collect();
    let revisions: Vec<_> = others.iter().map(|&(revision, _)| revision).collect();
    let mut times = HashMap::new();
    for (event, (revision, record)) in source.log_events(&revisions)?.into_iter().zip(others) {
        check_kind(record.kind, revision, &event)?;
        times.insert(revision, event.time);
    }
    let notification = |&(revision, record): &(Revision, NotificationRecord)| {
        let post = posts.remove(&revision);
        let time = post.as_ref().map(|post| post.time);
        Some(Notification {
            revision,
            time: time.or_else(|| times.get(&revision).copied())?,
            kind: record.kind,
            actor: source.state.users.name(record.actor),
            subject: record.subject(),
            post,
        })
    };
    Ok(listed.iter().map(notification).collect())
}

/// Checks that the event in the log is of the kind of its notification record.
///
/// # Errors
/// It is of another kind.
pub(super) fn check_kind(
    kind: NotificationKind,
    revision: Revision,
    event: &Event,
) -> Result<(), MissingEvent> {
    let is_of = match kind {
        NotificationKind::Follow => matches!(event.change, Change::Follow { .. }),
        NotificationKind::Like => matches!(event.change, Change::Like { .. }),
        NotificationKind::Repost => matches!(event.change, Change::Repost { .. }),
        NotificationKind::Reply | NotificationKind::Quote | NotificationKind::Mention => {
            matches!(event.change, Change::Publish { .. } | Change::Erased { .. })
        }
    };
    if is_of { Ok(()) } else { Err(MissingEvent { revision }) }
}
