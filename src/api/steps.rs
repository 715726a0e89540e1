//! What live streams say, as messages. The two kinds of stream differ in their events only.

use super::frame::Frame;
use super::token::encode_cursor;
use super::v1::feed_event::author_removed::Reason;
use super::v1::watch_feed_response::{Bookmark, CaughtUp, Closing, Opened, Reset};
use super::v1::{
    ErrorReason, FeedEvent, NotificationEvent, WatchFeedResponse, WatchNotificationsResponse,
    feed_event, notification_event, watch_feed_response as of_feed,
    watch_notifications_response as of_notifications,
};
use super::{convert, status};
use crate::live::{self, FeedEventKind, Removal, StreamMessage};
use crate::model::Cursor;

/// What all streams say in the same words.
#[derive(Debug)]
pub(super) enum Said {
    Opened(Opened),
    CaughtUp(CaughtUp),
    Bookmark(Bookmark),
    Reset(Reset),
    Closing(Closing),
}

/// A message of a stream.
pub(super) trait Message: From<StreamMessage> {
    /// One that all streams have.
    fn of(said: Said) -> Self;
}

/// `Err` gives a batch back.
fn said(step: StreamMessage) -> Result<Said, (Cursor, Cursor, std::sync::Arc<live::EventBatch>)> {
    Ok(match step {
        StreamMessage::Opened { cursor, head, heartbeat } => Said::Opened(Opened {
            cursor: encode_cursor(&cursor),
            head_cursor: encode_cursor(&head),
            heartbeat: Some(convert::duration(heartbeat)),
        }),
        StreamMessage::Reset { reason, oldest } => Said::Reset(Reset {
            reason: status::cursor_reason(&reason).into(),
            oldest_cursor: encode_cursor(&oldest),
        }),
        StreamMessage::Batch { prev, cursor, events } => return Err((prev, cursor, events)),
        StreamMessage::CaughtUp { cursor } => {
            Said::CaughtUp(CaughtUp { cursor: encode_cursor(&cursor) })
        }
        StreamMessage::Bookmark { cursor } => {
            Said::Bookmark(Bookmark { cursor: encode_cursor(&cursor) })
        }
        StreamMessage::Closing { cursor } => closing(ErrorReason::Draining, &cursor),
    })
}

/// The server ends the stream.
pub(super) fn closing(reason: ErrorReason, cursor: &Cursor) -> Said {
    Said::Closing(Closing {
        reason: reason.into(),
        cursor: encode_cursor(cursor),
        retry_after: Some(convert::duration(status::DRAIN_DELAY)),
    })
}

impl Message for Frame {
    fn of(said: Said) -> Self {
        use of_feed::Message;

        Self::Other(WatchFeedResponse {
            message: Some(match said {
                Said::Opened(opened) => Message::Opened(opened),
                Said::CaughtUp(caught_up) => Message::CaughtUp(caught_up),
                Said::Bookmark(bookmark) => Message::Bookmark(bookmark),
                Said::Reset(reset) => Message::Reset(reset),
                Said::Closing(closing) => Message::Closing(closing),
            }),
        })
    }
}

impl From<StreamMessage> for Frame {
    fn from(step: StreamMessage) -> Self {
        match said(step) {
            Ok(said) => Message::of(said),
            Err((prev, cursor, events)) => {
                Self::batch(encode_cursor(&prev), encode_cursor(&cursor), events)
            }
        }
    }
}

impl Message for WatchNotificationsResponse {
    fn of(said: Said) -> Self {
        use of_notifications::Message;

        Self {
            message: Some(match said {
                Said::Opened(opened) => Message::Opened(opened),
                Said::CaughtUp(caught_up) => Message::CaughtUp(caught_up),
                Said::Bookmark(bookmark) => Message::Bookmark(bookmark),
                Said::Reset(reset) => Message::Reset(reset),
                Said::Closing(closing) => Message::Closing(closing),
            }),
        }
    }
}

impl From<StreamMessage> for WatchNotificationsResponse {
    fn from(step: StreamMessage) -> Self {
        match said(step) {
            Ok(said) => Message::of(said),
            Err((prev, cursor, events)) => Self {
                message: Some(of_notifications::Message::Batch(of_notifications::Batch {
                    prev_cursor: encode_cursor(&prev),
                    cursor: encode_cursor(&cursor),
                    events: events.iter().map(|event| notification_event(event)).collect(),
                })),
            },
        }
    }
}

/// An event of a feed.
pub(super) fn feed_event(event: &live::FeedEvent) -> FeedEvent {
    use feed_event::{
        AuthorAdded, AuthorRemoved, AuthorShown, Deleted, Event, Posted, Reposted, Unreposted,
    };

    let what = match &event.kind {
        FeedEventKind::Posted(post) => {
            let item = convert::pushed_item(event.revision, post, None);
            Event::Posted(Posted { item: Some(item) })
        }
        FeedEventKind::Reposted { post, by } => {
            let item = convert::pushed_item(event.revision, post, Some(by));
            Event::Reposted(Reposted { item: Some(item) })
        }
        FeedEventKind::Unreposted { post, by, stand_in, .. } => Event::Unreposted(Unreposted {
            post_id: post.to_string(),
            user_id: by.to_string(),
            stand_in: stand_in
                .as_ref()
                .map(|it| convert::pushed_item(it.revision, &it.post, Some(&it.by))),
        }),
        FeedEventKind::Deleted(post) => Event::Deleted(Deleted { post_id: post.to_string() }),
        FeedEventKind::AuthorAdded(author) => {
            Event::AuthorAdded(AuthorAdded { author_id: author.to_string() })
        }
        FeedEventKind::AuthorRemoved { author, reason } => Event::AuthorRemoved(AuthorRemoved {
            author_id: author.to_string(),
            reason: removal(*reason).into(),
        }),
        FeedEventKind::AuthorShown(author) => {
            Event::AuthorShown(AuthorShown { author_id: author.to_string() })
        }
        FeedEventKind::Notified(_)
        | FeedEventKind::ActorRemoved { .. }
        | FeedEventKind::ActorShown(_)
        | FeedEventKind::Withdrawn { .. }
        | FeedEventKind::Seen { .. } => {
            unreachable!("those who watch a feed are not sent {:?}", event.kind)
        }
    };
    FeedEvent {
        revision: event.revision.get(),
        event: Some(what),
        page_again_revision: event.page_again.get(),
    }
}

/// An event of a user's notifications.
fn notification_event(event: &live::FeedEvent) -> NotificationEvent {
    use notification_event::{ActorRemoved, ActorShown, Deleted, Event, Notified, Seen, Withdrawn};

    let what = match &event.kind {
        FeedEventKind::Notified(notification) => {
            let notification = Some(convert::notification(notification));
            Event::Notified(Notified { notification })
        }
        FeedEventKind::ActorRemoved { actor, reason } => {
            let (actor_id, reason) = (actor.to_string(), removal(*reason).into());
            Event::ActorRemoved(ActorRemoved { actor_id, reason })
        }
        FeedEventKind::ActorShown(actor) => {
            Event::ActorShown(ActorShown { actor_id: actor.to_string() })
        }
        FeedEventKind::Withdrawn { notification } => {
            Event::Withdrawn(Withdrawn { notification_revision: notification.get() })
        }
        FeedEventKind::Deleted(post) => Event::Deleted(Deleted { post_id: post.to_string() }),
        FeedEventKind::Seen { until } => Event::Seen(Seen { until_revision: until.get() }),
        FeedEventKind::Posted(_)
        | FeedEventKind::Reposted { .. }
        | FeedEventKind::Unreposted { .. }
        | FeedEventKind::AuthorAdded(_)
        | FeedEventKind::AuthorRemoved { .. }
        | FeedEventKind::AuthorShown(_) => {
            unreachable!("those who watch notifications are not sent {:?}", event.kind)
        }
    };
    NotificationEvent {
        revision: event.revision.get(),
        event: Some(what),
        page_again_revision: event.page_again.get(),
    }
}

fn removal(reason: Removal) -> Reason {
    match reason {
        Removal::Unfollow => Reason::Unfollow,
        Removal::Block => Reason::Block,
        Removal::Mute => Reason::Mute,
    }
}
