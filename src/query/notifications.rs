//! What users are notified of: newest first, a page at a time, and how much of it is not seen yet.
//!
//! New followers are known from who follows the user, everything else from the notices. Whatever
//! was taken back is in neither; what was deleted, or is done by somebody whom the user hides, is
//! left out when it is read.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use super::lists::page;
use super::results::{Notification, Notifications, PagePosition};
use crate::model::{Change, Post, PostId, Revision, UserId};
use crate::state::reads::{MissingEvent, ReadError, Reading};
use crate::state::records::record::{Key, NotificationRecord, Position, Table, Value};
use crate::state::records::scan::RecordScan;
use crate::state::users::UserIx;
use crate::state::{NotificationKind, State};
use crate::storage;

/// Which page of whose notifications.
#[derive(Clone, Debug)]
pub struct NoticesQuery {
    /// Whose.
    pub user: UserId,
    /// Where the page begins; `None` for the newest.
    pub place: Option<PagePosition>,
    /// How many at most.
    pub items_max: usize,
}

/// The notices of a user and their new followers, merged.
struct Told<'a> {
    notices: Peekable<RecordScan<'a>>,
    followers: Peekable<RecordScan<'a>>,
}

impl NotificationKind {
    /// Whether the change that it tells of published a post.
    pub(crate) fn is_of_a_post(self) -> bool {
        matches!(self, Self::Reply | Self::Quote | Self::Mention)
    }

    /// Whether a change like this is what it tells of. An erased post is.
    pub(crate) fn is_of(self, change: &Change) -> bool {
        match self {
            Self::Follow => matches!(change, Change::Follow { .. }),
            Self::Like => matches!(change, Change::Like { .. }),
            Self::Repost => matches!(change, Change::Repost { .. }),
            Self::Reply | Self::Quote | Self::Mention => {
                matches!(change, Change::Publish { .. } | Change::Erased { .. })
            }
        }
    }
}

impl Reading<'_> {
    /// A page of what a user is notified of. May read the log and the index.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn notifications(&self, query: &NoticesQuery) -> Result<Notifications, ReadError> {
        let (at, before) = self.place(query.place);
        let Some(user) = self.ids.get(&query.user) else {
            let (page, seen_until) = (page(Vec::new(), None, at), Revision::ZERO);
            return Ok(Notifications { page, unseen: 0, seen_until });
        };
        let seen_until = self.facts.get(Key::of(Table::Seen, user))?;
        let seen_until = seen_until.map_or(Revision::ZERO, Value::revision);
        let told = |revision, notice: NotificationRecord| {
            self.is_told(user, revision, notice).then_some((revision, notice))
        };
        let unseen = self
            .all_notices(user, at.next(), query.items_max)
            .take_while(|told| !matches!(told, Ok((revision, _)) if *revision <= seen_until));
        let unseen = self.part_of(unseen, self.unseen_count_max, told)?.items.len();
        loop {
            let rows = self.all_notices(user, before, query.items_max);
            let listed = self.part_of(rows, query.items_max, told)?;
            // Else the page would be short.
            if let Some(items) = self.notified(&listed.items)? {
                return Ok(Notifications {
                    page: page(items, listed.next, at),
                    unseen,
                    seen_until,
                });
            }
        }
    }
}

impl State {
    /// Whether `user` is told of what happened at `revision`: nothing of it was deleted, and they
    /// do not hide who did it.
    pub(crate) fn is_told(
        &self,
        user: UserIx,
        revision: Revision,
        notice: NotificationRecord,
    ) -> bool {
        let is_there = |revision| self.hidden.retracted(revision).is_none();
        !self.hidden.is_hidden(user, notice.actor)
            && (notice.post == Revision::ZERO || is_there(notice.post))
            && (!notice.kind.is_of_a_post() || is_there(revision))
    }

    /// What `user` is told of that happened before `before`, newest first: of no more than may be
    /// looked at.
    pub(crate) fn told(
        &self,
        user: UserIx,
        before: Revision,
        items_max: usize,
    ) -> impl Iterator<Item = Result<(Revision, NotificationRecord), storage::Error>> {
        let all = self.all_notices(user, before, items_max).take(self.looks_max);
        all.filter(move |told| match told {
            Ok((revision, notice)) => self.is_told(user, *revision, *notice),
            Err(_) => true,
        })
    }

    /// Everything before `before` that `user` may be told of, newest first.
    fn all_notices(&self, user: UserIx, before: Revision, items_max: usize) -> Told<'_> {
        let listing = |table| self.newest((table, user.into()), before, items_max).peekable();
        Told { notices: listing(Table::Notices), followers: listing(Table::Followers) }
    }

    /// What `told` says in full; `None` if a post was deleted in this moment.
    fn notified(
        &self,
        told: &[(Revision, NotificationRecord)],
    ) -> Result<Option<Vec<Notification>>, ReadError> {
        let published = told.iter().filter(|(_, it)| it.kind.is_of_a_post());
        let published: Vec<_> =
            published.map(|&(revision, _)| PostId::from_revision(revision)).collect();
        let Some(posts) = self.all_posts(&published)? else { return Ok(None) };
        let mut posts: HashMap<Revision, Arc<Post>> =
            posts.into_iter().map(|post| (post.revision, post)).collect();
        let others = told.iter().filter(|(_, it)| !it.kind.is_of_a_post());
        let others: Vec<_> = others.map(|&(revision, notice)| (revision, notice.kind)).collect();
        let asked: Vec<_> = others.iter().map(|&(revision, _)| revision).collect();
        let mut times = HashMap::new();
        for (event, (revision, kind)) in self.log.get_many(&asked)?.into_iter().zip(others) {
            let event = event.filter(|event| kind.is_of(&event.change));
            times.insert(revision, event.ok_or(MissingEvent { revision })?.time);
        }
        let notification = |&(revision, notice): &(Revision, NotificationRecord)| {
            let post = posts.remove(&revision);
            let time = post.as_ref().map(|post| post.time);
            Some(Notification {
                revision,
                time: time.or_else(|| times.get(&revision).copied())?,
                kind: notice.kind,
                actor: self.ids.name(notice.actor),
                subject: (notice.post > Revision::ZERO).then(|| PostId::from_revision(notice.post)),
                post,
            })
        };
        Ok(told.iter().map(notification).collect())
    }
}

impl Iterator for Told<'_> {
    type Item = Result<(Revision, NotificationRecord), storage::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Errors come first, as a place cannot be told from them.
        let place = |row: Option<&Result<(Position, Value), storage::Error>>| {
            row.map(|row| row.as_ref().map_or(Position::LAST, |&(place, _)| place))
        };
        if place(self.notices.peek()) >= place(self.followers.peek()) {
            let notice = self.notices.next()?;
            return Some(notice.map(|(place, value)| (place.revision(), value.notice())));
        }
        let follower = self.followers.next()?;
        Some(follower.map(|(place, value)| {
            let (kind, post) = (NotificationKind::Follow, Revision::ZERO);
            (place.revision(), NotificationRecord { kind, actor: value.user(), post })
        }))
    }
}
