//! The deliveries of a change: the live feeds that receive it, and the event for each. Live streams
//! and streams that catch up use the same rules. Nothing here sends anything.

use std::sync::Arc;

use super::{FeedEvent, FeedEventKind, Removal};
use crate::model::{Change, Post, Revision, Timestamp, UserId};
use crate::query::Notification;
use crate::state::{AppliedEvent, NewNotification};

/// One of the two feeds of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FeedKind {
    /// The posts of the users whom the user follows.
    Home,
    /// The user's notifications.
    Notifications,
}

/// An event and the feeds that receive it.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Each home feed that has the posts of any of the authors receives the event once.
    ToFollowers { authors: Vec<UserId>, event: Arc<FeedEvent> },
    /// One feed of one user receives the event, and `then` its audiences change.
    ToUser { user: UserId, feed: FeedKind, event: Arc<FeedEvent>, then: AudienceChange },
}

/// The change of a feed's audiences after a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AudienceChange {
    Nothing,
    /// The feed joins the author's audience.
    Join(UserId),
    /// The feed leaves the author's audience.
    Leave(UserId),
}

impl Delivery {
    pub(super) fn event(&self) -> &Arc<FeedEvent> {
        match self {
            Self::ToFollowers { event, .. } | Self::ToUser { event, .. } => event,
        }
    }

    /// The event, if the feed `watched` of `watcher` receives it. `is_from_author` is whether the
    /// feed has the posts of one of the authors.
    pub(super) fn for_feed(
        self,
        watcher: &UserId,
        watched: FeedKind,
        is_from_author: bool,
    ) -> Option<Arc<FeedEvent>> {
        match self {
            Self::ToFollowers { event, .. } => {
                Some(event).filter(|_| watched == FeedKind::Home && is_from_author)
            }
            Self::ToUser { user, feed, event, .. } => {
                Some(event).filter(|_| user == *watcher && feed == watched)
            }
        }
    }
}

/// The deliveries of `change` at `revision`, in their order. For a repost `applied.post` is the
/// original; a post or repost without `applied.post` is not delivered.
pub(super) fn deliveries(
    revision: Revision,
    time: Timestamp,
    change: &Change,
    applied: AppliedEvent,
) -> Vec<Delivery> {
    let AppliedEvent { post, authors, notifications, is_muted } = applied;
    let mut deliveries = Deliveries { revision, list: Vec::new() };
    match change {
        Change::Publish { author, .. } => {
            if let Some(post) = &post {
                deliveries.deliver_to_followers(
                    vec![author.clone()],
                    FeedEventKind::Posted(Arc::clone(post)),
                );
            }
        }
        Change::Repost { user, .. } => {
            if let Some(post) = &post {
                let kind = FeedEventKind::Reposted { post: Arc::clone(post), by: user.clone() };
                deliveries.deliver_to_followers(vec![user.clone()], kind);
            }
        }
        Change::Unrepost { .. } | Change::Unlike { .. } | Change::Delete { .. } => {
            deliveries.add_withdrawal(change, authors);
        }
        Change::Follow { follower, followee } => {
            deliveries.author_added(follower, followee, !is_muted);
        }
        Change::Unfollow { .. } | Change::Block { .. } | Change::Mute { .. } => {
            deliveries.add_removal(change);
        }
        Change::Unblock { .. } | Change::Unmute { .. } => deliveries.add_shown_again(change),
        Change::See { user, until } => {
            deliveries.deliver_to_notifications(user, FeedEventKind::Seen { until: *until });
        }
        Change::Like { .. } | Change::Erased { .. } => {}
    }
    let published = post.filter(|_| matches!(change, Change::Publish { .. }));
    deliveries.add_notifications(time, published.as_ref(), notifications);
    deliveries.list
}

/// Collects the deliveries of one change.
struct Deliveries {
    revision: Revision,
    list: Vec<Delivery>,
}

impl Deliveries {
    fn event(&self, kind: FeedEventKind) -> Arc<FeedEvent> {
        Arc::new(FeedEvent::new(self.revision, kind))
    }

    /// An event after which a client has to page again from its revision on, unless `known`: then
    /// it contains the removed entry.
    fn paged_again_event(&self, kind: FeedEventKind, known: bool) -> Arc<FeedEvent> {
        let from = if known { Revision::ZERO } else { self.revision };
        Arc::new(FeedEvent::with_page_again(self.revision, kind, from))
    }

    fn deliver_to_followers(&mut self, authors: Vec<UserId>, kind: FeedEventKind) {
        let event = self.event(kind);
        self.list.push(Delivery::ToFollowers { authors, event });
    }

    fn deliver_to_user(
        &mut self,
        user: &UserId,
        feed: FeedKind,
        event: Arc<FeedEvent>,
        then: AudienceChange,
    ) {
        self.list.push(Delivery::ToUser { user: user.clone(), feed, event, then });
    }

    fn deliver_to_notifications(&mut self, user: &UserId, kind: FeedEventKind) {
        let event = self.event(kind);
        self.deliver_to_user(user, FeedKind::Notifications, event, AudienceChange::Nothing);
    }

    /// The feed has all posts of the author now, also earlier ones; `joins` is whether the author
    /// is not muted.
    fn author_added(&mut self, user: &UserId, author: &UserId, joins: bool) {
        let event = self.paged_again_event(FeedEventKind::AuthorAdded(author.clone()), false);
        let then =
            if joins { AudienceChange::Join(author.clone()) } else { AudienceChange::Nothing };
        self.deliver_to_user(user, FeedKind::Home, event, then);
    }

    fn author_removed(&mut self, user: &UserId, author: &UserId, reason: Removal) {
        let event = self.event(FeedEventKind::AuthorRemoved { author: author.clone(), reason });
        self.deliver_to_user(user, FeedKind::Home, event, AudienceChange::Leave(author.clone()));
    }

    fn author_shown(&mut self, user: &UserId, author: &UserId) {
        let event = self.event(FeedEventKind::AuthorShown(author.clone()));
        self.deliver_to_user(user, FeedKind::Home, event, AudienceChange::Nothing);
    }

    fn actor_removed(&mut self, user: &UserId, actor: &UserId, reason: Removal) {
        self.deliver_to_notifications(
            user,
            FeedEventKind::ActorRemoved { actor: actor.clone(), reason },
        );
    }

    /// All notifications by the actor are shown again, also earlier ones.
    fn actor_shown(&mut self, user: &UserId, actor: &UserId) {
        let event = self.paged_again_event(FeedEventKind::ActorShown(actor.clone()), false);
        self.deliver_to_user(user, FeedKind::Notifications, event, AudienceChange::Nothing);
    }

    /// `actor` removed the like, repost or follow of which `user` was notified at `since`, if that
    /// is known.
    fn withdrawn(&mut self, actor: &UserId, user: &UserId, since: Option<Revision>) {
        if actor != user {
            let notification = since.unwrap_or(Revision::ZERO);
            let kind = FeedEventKind::Withdrawn { notification };
            let event = self.paged_again_event(kind, since.is_some());
            self.deliver_to_user(user, FeedKind::Notifications, event, AudienceChange::Nothing);
        }
    }

    /// For removed reposts and likes, and deleted posts.
    fn add_withdrawal(&mut self, change: &Change, authors: Vec<UserId>) {
        match change {
            Change::Unrepost { user, post, since } => {
                let (by, repost) = (user.clone(), *since);
                let kind = FeedEventKind::Unreposted { post: post.id, by, repost, stand_in: None };
                let event = self.paged_again_event(kind, since.is_some());
                self.list.push(Delivery::ToFollowers { authors, event });
                self.withdrawn(user, &post.author, *since);
            }
            Change::Unlike { user, post, since } => self.withdrawn(user, &post.author, *since),
            Change::Delete { post, notified, .. } => {
                self.deliver_to_followers(authors, FeedEventKind::Deleted(post.id));
                for user in std::iter::once(&post.author).chain(notified) {
                    self.deliver_to_notifications(user, FeedEventKind::Deleted(post.id));
                }
            }
            _ => {}
        }
    }

    /// For users who are unfollowed, blocked or muted.
    fn add_removal(&mut self, change: &Change) {
        match change {
            Change::Unfollow { follower, followee, since } => {
                self.author_removed(follower, followee, Removal::Unfollow);
                self.withdrawn(follower, followee, *since);
            }
            Change::Block { blocker, blocked, .. } => {
                self.author_removed(blocker, blocked, Removal::Block);
                self.author_removed(blocked, blocker, Removal::Block);
                self.actor_removed(blocker, blocked, Removal::Block);
                self.actor_removed(blocked, blocker, Removal::Block);
            }
            Change::Mute { muter, muted } => {
                self.author_removed(muter, muted, Removal::Mute);
                self.actor_removed(muter, muted, Removal::Mute);
            }
            _ => {}
        }
    }

    /// For users who are unblocked or unmuted.
    fn add_shown_again(&mut self, change: &Change) {
        match change {
            Change::Unblock { blocker, blocked } => {
                self.author_shown(blocker, blocked);
                self.author_shown(blocked, blocker);
                self.actor_shown(blocker, blocked);
                self.actor_shown(blocked, blocker);
            }
            Change::Unmute { muter, muted, follows } => {
                match follows {
                    true => self.author_added(muter, muted, true),
                    false => self.author_shown(muter, muted),
                }
                self.actor_shown(muter, muted);
            }
            _ => {}
        }
    }

    fn add_notifications(
        &mut self,
        time: Timestamp,
        published: Option<&Arc<Post>>,
        notifications: Vec<NewNotification>,
    ) {
        let revision = self.revision;
        for NewNotification { user, kind, actor, subject } in notifications {
            let post = published.cloned();
            let notification = Notification { revision, time, kind, actor, subject, post };
            self.deliver_to_notifications(&user, FeedEventKind::Notified(Arc::new(notification)));
        }
    }
}
