//! What a change is to live feeds: the one place that says it, for what is sent as it happens and
//! for what a stream missed alike.

use std::sync::Arc;

use super::{FeedEvent, FeedEventKind, Removal};
use crate::model::{Change, Post, Revision, Timestamp, UserId};
use crate::query::Notification;
use crate::state::NewNotification;

/// Which feed of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FeedKind {
    /// What those post whom the user follows.
    Feed,
    /// What the user is notified of.
    Notifications,
}

/// What a change is to feeds.
#[derive(Debug)]
pub(super) enum Delivery {
    /// It is told to the feeds that any of the authors is in, each once.
    Spread { authors: Vec<UserId>, event: Arc<FeedEvent> },
    /// It is told to a feed of one user.
    Tell { user: UserId, of: FeedKind, event: Arc<FeedEvent>, then: AudienceChange },
}

/// What becomes of whose posts go to a feed, once that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AudienceChange {
    Nothing,
    /// Somebody's posts go there.
    List(UserId),
    /// Somebody's posts do not go there.
    Unlist(UserId),
}

/// What has to be known beside a change to say what it is to feeds.
#[derive(Debug, Default)]
pub(super) struct DeliveryContext {
    /// The post that was published or reposted. Without it neither is told.
    pub(super) post: Option<Arc<Post>>,
    /// FanOutTarget whose followers a deletion or an end of a repost is told.
    pub(super) authors: Vec<UserId>,
    /// Who is notified.
    pub(super) notices: Vec<NewNotification>,
    /// For a follow: whether the follower mutes the followee.
    pub(super) is_muted: bool,
}

impl Delivery {
    pub(super) fn event(&self) -> &Arc<FeedEvent> {
        match self {
            Self::Spread { event, .. } | Self::Tell { event, .. } => event,
        }
    }

    /// The event, if it is one for this feed. What is spread concerns it if it `is_from_author`, one
    /// of those whose posts the feed has.
    pub(super) fn for_feed(
        self,
        watcher: &UserId,
        watched: FeedKind,
        is_from_author: bool,
    ) -> Option<Arc<FeedEvent>> {
        match self {
            Self::Spread { event, .. } => {
                Some(event).filter(|_| watched == FeedKind::Feed && is_from_author)
            }
            Self::Tell { user, of, event, .. } => {
                Some(event).filter(|_| user == *watcher && of == watched)
            }
        }
    }
}

/// What `change`, made at `revision`, is to feeds: in the order in which it is told.
pub(super) fn effects(
    revision: Revision,
    time: Timestamp,
    change: &Change,
    known: DeliveryContext,
) -> Vec<Delivery> {
    let DeliveryContext { post, authors, notices, is_muted } = known;
    let event = |kind| Arc::new(FeedEvent::new(revision, kind));
    let spread = |authors, kind| Delivery::Spread { authors, event: event(kind) };
    let tell = |user: &UserId, of, kind, then| Delivery::Tell {
        user: user.clone(),
        of,
        event: event(kind),
        then,
    };
    let removed = |user: &UserId, other: &UserId, reason| {
        let author = FeedEventKind::AuthorRemoved { author: other.clone(), reason };
        tell(user, FeedKind::Feed, author, AudienceChange::Unlist(other.clone()))
    };
    let silenced = |user: &UserId, other: &UserId, reason| {
        let actor = FeedEventKind::ActorRemoved { actor: other.clone(), reason };
        tell(user, FeedKind::Notifications, actor, AudienceChange::Nothing)
    };
    // Their posts of all times are in the feed now.
    let added = |user: &UserId, other: &UserId, then| {
        let kind = FeedEventKind::AuthorAdded(other.clone());
        let event = Arc::new(FeedEvent::with_page_again(revision, kind, revision));
        Delivery::Tell { user: user.clone(), of: FeedKind::Feed, event, then }
    };
    let shown = |user: &UserId, other: &UserId| {
        tell(
            user,
            FeedKind::Feed,
            FeedEventKind::AuthorShown(other.clone()),
            AudienceChange::Nothing,
        )
    };
    // Notifications of all times are there again.
    let heard = |user: &UserId, other: &UserId| {
        let kind = FeedEventKind::ActorShown(other.clone());
        let event = Arc::new(FeedEvent::with_page_again(revision, kind, revision));
        Delivery::Tell {
            user: user.clone(),
            of: FeedKind::Notifications,
            event,
            then: AudienceChange::Nothing,
        }
    };
    let withdrawn = |actor: &UserId, user: &UserId, since: &Option<Revision>| {
        let kind = FeedEventKind::Withdrawn { notification: since.unwrap_or(Revision::ZERO) };
        let page_again = if since.is_some() { Revision::ZERO } else { revision };
        let event = Arc::new(FeedEvent::with_page_again(revision, kind, page_again));
        let of = FeedKind::Notifications;
        (actor != user).then(|| Delivery::Tell {
            user: user.clone(),
            of,
            event,
            then: AudienceChange::Nothing,
        })
    };

    let mut effects = match (change, &post) {
        (Change::Publish { author, .. }, Some(post)) => {
            vec![spread(vec![author.clone()], FeedEventKind::Posted(Arc::clone(post)))]
        }
        (Change::Repost { user, .. }, Some(post)) => {
            let kind = FeedEventKind::Reposted { post: Arc::clone(post), by: user.clone() };
            vec![spread(vec![user.clone()], kind)]
        }
        (Change::Unrepost { user, post, since }, _) => {
            let (by, repost) = (user.clone(), *since);
            let kind = FeedEventKind::Unreposted { post: post.id, by, repost, stand_in: None };
            let page_again = if since.is_some() { Revision::ZERO } else { revision };
            let event = Arc::new(FeedEvent::with_page_again(revision, kind, page_again));
            let spread = Delivery::Spread { authors, event };
            std::iter::once(spread).chain(withdrawn(user, &post.author, since)).collect()
        }
        (Change::Unlike { user, post, since }, _) => {
            withdrawn(user, &post.author, since).into_iter().collect()
        }
        (Change::Delete { post, notified, .. }, _) => {
            let deleted = || FeedEventKind::Deleted(post.id);
            let of_user =
                |user| tell(user, FeedKind::Notifications, deleted(), AudienceChange::Nothing);
            let users = std::iter::once(&post.author).chain(notified);
            std::iter::once(spread(authors, deleted())).chain(users.map(of_user)).collect()
        }
        (Change::Follow { follower, followee }, _) => {
            let then = if is_muted {
                AudienceChange::Nothing
            } else {
                AudienceChange::List(followee.clone())
            };
            vec![added(follower, followee, then)]
        }
        (Change::Unfollow { follower, followee, since }, _) => {
            let removed = removed(follower, followee, Removal::Unfollow);
            std::iter::once(removed).chain(withdrawn(follower, followee, since)).collect()
        }
        (Change::Block { blocker, blocked, .. }, _) => vec![
            removed(blocker, blocked, Removal::Block),
            removed(blocked, blocker, Removal::Block),
            silenced(blocker, blocked, Removal::Block),
            silenced(blocked, blocker, Removal::Block),
        ],
        (Change::Mute { muter, muted }, _) => {
            vec![removed(muter, muted, Removal::Mute), silenced(muter, muted, Removal::Mute)]
        }
        (Change::Unblock { blocker, blocked }, _) => vec![
            shown(blocker, blocked),
            shown(blocked, blocker),
            heard(blocker, blocked),
            heard(blocked, blocker),
        ],
        (Change::Unmute { muter, muted, follows }, _) => {
            let in_feed = if *follows {
                added(muter, muted, AudienceChange::List(muted.clone()))
            } else {
                shown(muter, muted)
            };
            vec![in_feed, heard(muter, muted)]
        }
        (Change::See { user, until }, _) => {
            vec![tell(
                user,
                FeedKind::Notifications,
                FeedEventKind::Seen { until: *until },
                AudienceChange::Nothing,
            )]
        }
        _ => Vec::new(),
    };
    let published = post.filter(|_| matches!(change, Change::Publish { .. }));
    effects.extend(notices.into_iter().map(|NewNotification { user, kind, actor, subject }| {
        let post = published.clone();
        let notification = Notification { revision, time, kind, actor, subject, post };
        tell(
            &user,
            FeedKind::Notifications,
            FeedEventKind::Notified(Arc::new(notification)),
            AudienceChange::Nothing,
        )
    }));
    effects
}
