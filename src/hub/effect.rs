//! What a change is to live feeds: the one place that says it, for what is sent as it happens and
//! for what a stream missed alike.

use std::sync::Arc;

use super::{FeedEvent, FeedEventKind, Removal};
use crate::model::{Change, Post, Revision, Timestamp, UserId};
use crate::view::{Noticed, Notification};

/// Which feed of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Of {
    /// What those post whom the user follows.
    Feed,
    /// What the user is notified of.
    Notifications,
}

/// What a change is to feeds.
#[derive(Debug)]
pub(super) enum Effect {
    /// It is told to the feeds that any of the authors is in, each once.
    Spread { authors: Vec<UserId>, event: Arc<FeedEvent> },
    /// It is told to a feed of one user.
    Tell { user: UserId, of: Of, event: Arc<FeedEvent>, then: Then },
}

/// What becomes of whose posts go to a feed, once that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// Somebody's posts go there.
    List(UserId),
    /// Somebody's posts do not go there.
    Unlist(UserId),
}

/// What has to be known beside a change to say what it is to feeds.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The post that was published or reposted. Without it neither is told.
    pub(super) post: Option<Arc<Post>>,
    /// To whose followers a deletion or an end of a repost is told.
    pub(super) authors: Vec<UserId>,
    /// Who is notified.
    pub(super) notices: Vec<Noticed>,
    /// For a follow: whether the follower mutes the followee.
    pub(super) is_muted: bool,
}

impl Effect {
    pub(super) fn event(&self) -> &Arc<FeedEvent> {
        match self {
            Self::Spread { event, .. } | Self::Tell { event, .. } => event,
        }
    }

    /// The event, if it is one for this feed. What is spread was found where it is spread to.
    pub(super) fn for_feed(self, watcher: &UserId, watched: Of) -> Option<Arc<FeedEvent>> {
        match self {
            Self::Spread { event, .. } => Some(event).filter(|_| watched == Of::Feed),
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
    known: Known,
) -> Vec<Effect> {
    let Known { post, authors, notices, is_muted } = known;
    let event = |kind| Arc::new(FeedEvent::new(revision, kind));
    let spread = |authors, kind| Effect::Spread { authors, event: event(kind) };
    let tell = |user: &UserId, of, kind, then| Effect::Tell {
        user: user.clone(),
        of,
        event: event(kind),
        then,
    };
    let removed = |user: &UserId, other: &UserId, reason| {
        let author = FeedEventKind::AuthorRemoved { author: other.clone(), reason };
        tell(user, Of::Feed, author, Then::Unlist(other.clone()))
    };
    let silenced = |user: &UserId, other: &UserId, reason| {
        let actor = FeedEventKind::ActorRemoved { actor: other.clone(), reason };
        tell(user, Of::Notifications, actor, Then::Nothing)
    };
    let added = |user: &UserId, other: &UserId, then| {
        tell(user, Of::Feed, FeedEventKind::AuthorAdded(other.clone()), then)
    };

    let mut effects = match (change, &post) {
        (Change::Publish { author, .. }, Some(post)) => {
            vec![spread(vec![author.clone()], FeedEventKind::Posted(Arc::clone(post)))]
        }
        (Change::Repost { user, .. }, Some(post)) => {
            let kind = FeedEventKind::Reposted { post: Arc::clone(post), by: user.clone() };
            vec![spread(vec![user.clone()], kind)]
        }
        (Change::Unrepost { user, post }, _) => {
            vec![spread(authors, FeedEventKind::Unreposted { post: post.id, by: user.clone() })]
        }
        (Change::Delete { post, .. }, _) => vec![spread(authors, FeedEventKind::Deleted(post.id))],
        (Change::Follow { follower, followee }, _) => {
            let then = if is_muted { Then::Nothing } else { Then::List(followee.clone()) };
            vec![added(follower, followee, then)]
        }
        (Change::Unfollow { follower, followee }, _) => {
            vec![removed(follower, followee, Removal::Unfollow)]
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
        (Change::Unmute { muter, muted, follows: true }, _) => {
            vec![added(muter, muted, Then::List(muted.clone()))]
        }
        (Change::See { user, until }, _) => {
            vec![tell(
                user,
                Of::Notifications,
                FeedEventKind::Seen { until: *until },
                Then::Nothing,
            )]
        }
        _ => Vec::new(),
    };
    let published = post.filter(|_| matches!(change, Change::Publish { .. }));
    effects.extend(notices.into_iter().map(|Noticed { user, kind, actor, subject }| {
        let post = published.clone();
        let notification = Notification { revision, time, kind, actor, subject, post };
        tell(
            &user,
            Of::Notifications,
            FeedEventKind::Notified(Arc::new(notification)),
            Then::Nothing,
        )
    }));
    effects
}
