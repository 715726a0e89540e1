//! What users were notified of, as their streams tell it: what a stream missed, what a snapshot
//! begins with, and whether what is sent concerns the user still.

use std::sync::Arc;

use super::feed::BacklogKind;
use crate::model::{Change, Event, Mark, Post, PostId, Revision, UserId};
use crate::query::results::Notification;
use crate::query::source::Beyond;
use crate::state::reads::{MissingEvent, ReadError};
use crate::state::records::Order;
use crate::state::records::record::{Key, NotificationRecord, Table};
use crate::state::timelines::posts::MarkLookup;
use crate::state::users::UserIx;
use crate::state::{NotificationKind, State};
use crate::storage::{self, TimelineKind};

/// Which part of what a user was told beside their feed.
#[derive(Clone, Debug)]
pub struct ToldQuery {
    /// Who.
    pub user: UserId,
    /// It begins after this.
    pub after: Revision,
    /// It ends with this, which must not be beyond [`State::applied`].
    pub until: Revision,
    /// What happened, or only the notifications there are.
    pub kind: BacklogKind,
    /// How many of what may be told are looked at.
    pub events_max: usize,
}

/// A part of what a user was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ToldBacklog {
    /// What, oldest first.
    pub told: Vec<Told>,
    /// Up to here there is nothing else. Before the end of what was asked for if there may be more.
    pub reached: Revision,
}

/// Something that a user was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something happened to them.
    Notified(Arc<Notification>),
    /// They changed what they are told, or have seen it; or somebody blocked them.
    Changed(Revision, Change),
}

/// Why there may be something to tell at a place.
#[derive(Clone, Copy, Debug)]
enum Spot {
    Notification(NotificationRecord),
    Change,
}

impl State {
    /// What a user was told, if memory knows that it is nothing.
    #[must_use]
    pub fn told_backlog_at_hand(&self, query: &ToldQuery) -> Option<ToldBacklog> {
        let nothing = ToldBacklog { told: Vec::new(), reached: query.until };
        let Some(user) = self.ids.get(&query.user) else { return Some(nothing) };
        let has_none = |table| self.facts.has_none_after((table, user.into()), query.after);
        let is_quiet = has_none(Table::Notices)
            && has_none(Table::Followers)
            && !self.changes_of.may_have(user, query.after);
        is_quiet.then_some(nothing)
    }

    /// A part of what a user was told. ReadPool the index and the log, which blocks for a moment.
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn told_backlog(&self, query: &ToldQuery) -> Result<ToldBacklog, ReadError> {
        let ToldQuery { after, until, kind, events_max, .. } = *query;
        let Some(user) = self.ids.get(&query.user) else {
            return Ok(ToldBacklog { told: Vec::new(), reached: until });
        };
        let mut places = self.notices_after(user, after, events_max)?;
        if kind == BacklogKind::Events {
            let changes = self.changes(user, after, events_max)?;
            places.extend(changes.into_iter().map(|revision| (revision, Spot::Change)));
        }
        places.sort_unstable_by_key(|&(revision, _)| revision);
        places.retain(|&(revision, _)| revision <= until);
        // Each of the lists goes so far at least.
        let is_all = places.len() < events_max;
        places.truncate(events_max);
        let reached = places.last().filter(|_| !is_all).map_or(until, |&(revision, _)| revision);

        places.retain(|&(revision, found)| match found {
            Spot::Change => true,
            Spot::Notification(notice) => {
                let as_of = if kind == BacklogKind::Items { Revision::MAX } else { revision };
                self.is_shown(user, revision, &notice, as_of)
            }
        });
        let revisions: Vec<_> = places.iter().map(|&(revision, _)| revision).collect();
        let events = self.log.get_many(&revisions)?;
        let mut told = Vec::with_capacity(places.len());
        for ((revision, found), event) in places.into_iter().zip(events) {
            let event = event.ok_or(MissingEvent { revision })?;
            told.extend(match found {
                Spot::Change => Some(Told::Changed(revision, event.change)),
                // None for a post that was deleted and erased in this moment.
                Spot::Notification(notice) => self
                    .notification(revision, &event, &notice)?
                    .map(|notification| Told::Notified(Arc::new(notification))),
            });
        }
        Ok(ToldBacklog { told, reached })
    }

    /// The oldest of the newest `items_max` notifications of `user`. ReadPool the index, which blocks
    /// for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn oldest_told(
        &self,
        user: &UserId,
        items_max: usize,
    ) -> Result<Option<Revision>, storage::Error> {
        let Some(user) = self.ids.get(user) else { return Ok(None) };
        let mut oldest = None;
        for told in self.told(user, Revision::MAX, items_max).take(items_max) {
            oldest = Some(told?.0);
        }
        Ok(oldest)
    }

    /// Whether `user` is still to be told of `notification`.
    #[must_use]
    pub fn is_still_told(&self, user: &UserId, notification: &Notification) -> bool {
        let Some((user, actor)) = self.ids.get(user).zip(self.ids.get(&notification.actor)) else {
            return false;
        };
        let post = notification.subject.map_or(Revision::ZERO, PostId::revision);
        let notice = NotificationRecord { kind: notification.kind, actor, post };
        let revision = notification.revision;
        self.is_shown(user, revision, &notice, revision)
    }

    /// Notices about `user` after `after`, in no particular order: at least the oldest `max` of them,
    /// if there are so many.
    fn notices_after(
        &self,
        user: UserIx,
        after: Revision,
        max: usize,
    ) -> Result<Vec<(Revision, Spot)>, storage::Error> {
        let mut notices = Vec::new();
        for table in [Table::Notices, Table::Followers] {
            let about = (table, user.into());
            for (place, value) in self.facts.list(about, after.into(), Order::OldestFirst, max)? {
                let key = Key::new(table, user, place.revision());
                let notice = NotificationRecord::of(key, value).map(Spot::Notification);
                notices.extend(notice.map(|notice| (place.revision(), notice)));
            }
        }
        Ok(notices)
    }

    /// When `user` changed something after `after`: at most `max` times.
    fn changes(
        &self,
        user: UserIx,
        after: Revision,
        max: usize,
    ) -> Result<Vec<Revision>, ReadError> {
        let mut changes = Vec::new();
        if !self.changes_of.may_have(user, after) {
            return Ok(changes);
        }
        let beyond = self.beyond();
        let mut after = Mark::before(after.next()).previous();
        while changes.len() < max {
            let found = match self.changes_of.oldest_after(user, after) {
                (_, MarkLookup::Here(found)) => found,
                (here, MarkLookup::InIndex(until)) => {
                    beyond.oldest_after(TimelineKind::Changes, user, after, until)?.or(here)
                }
            };
            let Some(found) = found else { break };
            changes.push(found.revision());
            after = found;
        }
        Ok(changes)
    }

    /// Whether `user` is told of what happened at `revision`, and saw who did it at `as_of`.
    fn is_shown(
        &self,
        user: UserIx,
        revision: Revision,
        notice: &NotificationRecord,
        as_of: Revision,
    ) -> bool {
        self.is_told(user, revision, *notice) && self.hidden.shown_since(user, notice.actor) < as_of
    }

    /// What `notice` says of the event at `revision`; nothing if what was published is gone.
    fn notification(
        &self,
        revision: Revision,
        event: &Event,
        notice: &NotificationRecord,
    ) -> Result<Option<Notification>, MissingEvent> {
        if !notice.kind.is_of(&event.change) {
            return Err(MissingEvent { revision });
        }
        let post = match (notice.kind, &event.change) {
            (NotificationKind::Follow | NotificationKind::Like | NotificationKind::Repost, _) => {
                None
            }
            (_, Change::Publish { author, content, .. }) => {
                let (author, content) = (author.clone(), content.clone());
                Some(Arc::new(Post { revision, author, content, time: event.time }))
            }
            _ => return Ok(None),
        };
        let (kind, actor, subject) = (notice.kind, self.ids.name(notice.actor), notice.subject());
        Ok(Some(Notification { revision, time: event.time, kind, actor, subject, post }))
    }
}
