//! Conversions from the messages of a live stream to responses. The two kinds of stream differ in
//! their events only. Never decides what a stream sends.

use super::shared_response::SharedFeedResponse;
use super::token::encode_cursor;
use super::v1::watch_feed_response::{Bookmark, CaughtUp, Closing, Opened, Reset};
use super::v1::{ErrorReason, WatchFeedResponse, watch_feed_response as of_feed};
use super::v1_server::feed_event::author_removed::Reason;
use super::v1_server::{
    FeedEvent, NotificationEvent, WatchNotificationsResponse, feed_event, notification_event,
    watch_notifications_response as of_notifications,
};
use super::{convert, post_id, status};
use crate::live::{self, FeedEventKind, Removal, StreamMessage};
use crate::model::{Cursor, Epochs};

/// The messages that are the same in all streams: all but batches.
#[derive(Debug)]
pub(super) enum CommonMessage {
    Opened(Opened),
    CaughtUp(CaughtUp),
    Bookmark(Bookmark),
    Reset(Reset),
    Closing(Closing),
}

/// The response type of a stream.
pub(super) trait StreamResponse: Sized {
    fn from_common(message: CommonMessage) -> Self;

    /// The response to a client of a log with these epochs.
    fn new(message: StreamMessage, epochs: &Epochs) -> Self;
}

/// A batch: the cursors before and after it, and its events.
type BatchParts = (Cursor, Cursor, std::sync::Arc<live::EventBatch>);

/// `Err` if the message is a batch.
fn common_message(message: StreamMessage, epochs: &Epochs) -> Result<CommonMessage, BatchParts> {
    Ok(match message {
        StreamMessage::Opened { cursor, head, heartbeat } => CommonMessage::Opened(Opened {
            cursor: encode_cursor(&cursor, epochs),
            head_cursor: encode_cursor(&head, epochs),
            heartbeat: Some(convert::duration(heartbeat)),
        }),
        StreamMessage::Reset { reason, oldest } => CommonMessage::Reset(Reset {
            reason: status::cursor_reason(&reason).into(),
            oldest_cursor: encode_cursor(&oldest, epochs),
        }),
        StreamMessage::Batch { prev, cursor, events } => return Err((prev, cursor, events)),
        StreamMessage::CaughtUp { cursor } => {
            CommonMessage::CaughtUp(CaughtUp { cursor: encode_cursor(&cursor, epochs) })
        }
        StreamMessage::Bookmark { cursor } => {
            CommonMessage::Bookmark(Bookmark { cursor: encode_cursor(&cursor, epochs) })
        }
        StreamMessage::Closing { cursor } => closing(ErrorReason::Draining, &cursor, epochs),
    })
}

/// The message before the server ends a stream.
pub(super) fn closing(reason: ErrorReason, cursor: &Cursor, epochs: &Epochs) -> CommonMessage {
    CommonMessage::Closing(Closing {
        reason: reason.into(),
        cursor: encode_cursor(cursor, epochs),
        retry_after: Some(convert::duration(status::DRAIN_DELAY)),
    })
}

impl StreamResponse for SharedFeedResponse {
    fn from_common(message: CommonMessage) -> Self {
        use of_feed::Message;

        Self::other(WatchFeedResponse {
            message: Some(match message {
                CommonMessage::Opened(opened) => Message::Opened(opened),
                CommonMessage::CaughtUp(caught_up) => Message::CaughtUp(caught_up),
                CommonMessage::Bookmark(bookmark) => Message::Bookmark(bookmark),
                CommonMessage::Reset(reset) => Message::Reset(reset),
                CommonMessage::Closing(closing) => Message::Closing(closing),
            }),
        })
    }

    fn new(message: StreamMessage, epochs: &Epochs) -> Self {
        Self::from_message(message, epochs)
    }
}

impl SharedFeedResponse {
    /// The response that says `message` to a client of a log with these epochs.
    #[must_use]
    pub fn from_message(message: StreamMessage, epochs: &Epochs) -> Self {
        match common_message(message, epochs) {
            Ok(message) => Self::from_common(message),
            Err((prev, cursor, events)) => Self::batch(&prev, &cursor, events, epochs),
        }
    }
}

impl StreamResponse for WatchNotificationsResponse {
    fn from_common(message: CommonMessage) -> Self {
        use of_notifications::Message;

        Self {
            message: Some(match message {
                CommonMessage::Opened(opened) => Message::Opened(opened),
                CommonMessage::CaughtUp(caught_up) => Message::CaughtUp(caught_up),
                CommonMessage::Bookmark(bookmark) => Message::Bookmark(bookmark),
                CommonMessage::Reset(reset) => Message::Reset(reset),
                CommonMessage::Closing(closing) => Message::Closing(closing),
            }),
        }
    }

    fn new(message: StreamMessage, epochs: &Epochs) -> Self {
        match common_message(message, epochs) {
            Ok(message) => Self::from_common(message),
            Err((prev, cursor, events)) => Self {
                message: Some(of_notifications::Message::Batch(of_notifications::Batch {
                    prev_cursor: encode_cursor(&prev, epochs),
                    cursor: encode_cursor(&cursor, epochs),
                    events: events.iter().map(|event| notification_event(event, epochs)).collect(),
                })),
            },
        }
    }
}

pub(super) fn feed_event(event: &live::FeedEvent, epochs: &Epochs) -> FeedEvent {
    use feed_event::{
        AuthorAdded, AuthorRemoved, AuthorShown, Deleted, Event, Posted, Reposted, Unreposted,
    };

    let event_message = match &event.kind {
        FeedEventKind::Posted(post) => {
            let item = convert::pushed_item(event.revision, post, None, epochs);
            Event::Posted(Posted { item: Some(item) })
        }
        FeedEventKind::Reposted { post, by } => {
            let item = convert::pushed_item(event.revision, post, Some(by), epochs);
            Event::Reposted(Reposted { item: Some(item) })
        }
        FeedEventKind::Unreposted { post, by, stand_in, .. } => Event::Unreposted(Unreposted {
            post_id: post_id::text(*post, epochs),
            user_id: by.to_string(),
            stand_in: stand_in.as_ref().map(|repost| {
                convert::pushed_item(repost.revision, &repost.post, Some(&repost.by), epochs)
            }),
        }),
        FeedEventKind::Deleted(post) => {
            Event::Deleted(Deleted { post_id: post_id::text(*post, epochs) })
        }
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
            unreachable!("{:?} was sent to a stream of a feed", event.kind)
        }
    };
    FeedEvent {
        revision: event.revision.get(),
        event: Some(event_message),
        page_again_revision: event.page_again.get(),
    }
}

fn notification_event(event: &live::FeedEvent, epochs: &Epochs) -> NotificationEvent {
    use notification_event::{ActorRemoved, ActorShown, Deleted, Event, Notified, Seen, Withdrawn};

    let event_message = match &event.kind {
        FeedEventKind::Notified(notification) => {
            let notification = Some(convert::notification(notification, epochs));
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
        FeedEventKind::Deleted(post) => {
            Event::Deleted(Deleted { post_id: post_id::text(*post, epochs) })
        }
        FeedEventKind::Seen { until } => Event::Seen(Seen { until_revision: until.get() }),
        FeedEventKind::Posted(_)
        | FeedEventKind::Reposted { .. }
        | FeedEventKind::Unreposted { .. }
        | FeedEventKind::AuthorAdded(_)
        | FeedEventKind::AuthorRemoved { .. }
        | FeedEventKind::AuthorShown(_) => {
            unreachable!("{:?} was sent to a stream of notifications", event.kind)
        }
    };
    NotificationEvent {
        revision: event.revision.get(),
        event: Some(event_message),
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
