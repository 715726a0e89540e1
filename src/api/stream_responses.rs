//! Conversions from the messages of a live stream to responses. The two kinds of stream differ in
//! their events only. Never decides what a stream sends.

use super::shared_response::SharedFeedResponse;
use super::token::encode_cursor;
use super::v1::{
    ActorRemovedEvent, ActorShownEvent, AuthorAddedEvent, AuthorRemovedEvent, AuthorShownEvent,
    DeletedEvent, ErrorReason, RemovedReason, SeenEvent, StreamBookmark, StreamCaughtUp,
    StreamClosing, StreamOpened, StreamReset, WatchFeedResponse, WithdrawnEvent,
    watch_feed_response as of_feed,
};
use super::v1_server::{
    FeedEvent, NotificationBatch, NotificationEvent, NotifiedEvent, PostedEvent, RepostedEvent,
    UnrepostedEvent, WatchNotificationsResponse, feed_event, notification_event,
    watch_notifications_response as of_notifications,
};
use super::{convert, post_id, status};
use crate::live::{self, FeedEventKind, Removal, StreamMessage};
use crate::model::{Cursor, Epochs};

/// The messages that are the same in all streams: all but batches.
#[derive(Debug)]
pub(super) enum CommonMessage {
    Opened(StreamOpened),
    CaughtUp(StreamCaughtUp),
    Bookmark(StreamBookmark),
    Reset(StreamReset),
    Closing(StreamClosing),
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
        StreamMessage::Opened { cursor, head, heartbeat } => CommonMessage::Opened(StreamOpened {
            cursor: encode_cursor(&cursor, epochs),
            head_cursor: encode_cursor(&head, epochs),
            heartbeat: Some(convert::duration(heartbeat)),
        }),
        StreamMessage::Reset { reason, oldest } => CommonMessage::Reset(StreamReset {
            reason: status::cursor_reason(&reason).into(),
            oldest_cursor: encode_cursor(&oldest, epochs),
        }),
        StreamMessage::Batch { prev, cursor, events } => return Err((prev, cursor, events)),
        StreamMessage::CaughtUp { cursor } => {
            CommonMessage::CaughtUp(StreamCaughtUp { cursor: encode_cursor(&cursor, epochs) })
        }
        StreamMessage::Bookmark { cursor } => {
            CommonMessage::Bookmark(StreamBookmark { cursor: encode_cursor(&cursor, epochs) })
        }
        StreamMessage::Closing { cursor } => {
            closing(ErrorReason::Draining, &cursor, epochs, String::new())
        }
    })
}

/// The message before the server ends a stream, which may go on at `other_address`.
pub(super) fn closing(
    reason: ErrorReason,
    cursor: &Cursor,
    epochs: &Epochs,
    other_address: String,
) -> CommonMessage {
    CommonMessage::Closing(StreamClosing {
        reason: reason.into(),
        cursor: encode_cursor(cursor, epochs),
        retry_after: Some(convert::duration(status::DRAIN_DELAY)),
        other_address,
    })
}

impl StreamResponse for SharedFeedResponse {
    fn from_common(message: CommonMessage) -> Self {
        use of_feed::Kind;

        Self::other(WatchFeedResponse {
            kind: Some(match message {
                CommonMessage::Opened(opened) => Kind::Opened(opened),
                CommonMessage::CaughtUp(caught_up) => Kind::CaughtUp(caught_up),
                CommonMessage::Bookmark(bookmark) => Kind::Bookmark(bookmark),
                CommonMessage::Reset(reset) => Kind::Reset(reset),
                CommonMessage::Closing(closing) => Kind::Closing(closing),
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
        use of_notifications::Kind;

        Self {
            kind: Some(match message {
                CommonMessage::Opened(opened) => Kind::Opened(opened),
                CommonMessage::CaughtUp(caught_up) => Kind::CaughtUp(caught_up),
                CommonMessage::Bookmark(bookmark) => Kind::Bookmark(bookmark),
                CommonMessage::Reset(reset) => Kind::Reset(reset),
                CommonMessage::Closing(closing) => Kind::Closing(closing),
            }),
        }
    }

    fn new(message: StreamMessage, epochs: &Epochs) -> Self {
        match common_message(message, epochs) {
            Ok(message) => Self::from_common(message),
            Err((prev, cursor, events)) => Self {
                kind: Some(of_notifications::Kind::Batch(NotificationBatch {
                    prev_cursor: encode_cursor(&prev, epochs),
                    cursor: encode_cursor(&cursor, epochs),
                    events: events.iter().map(|event| notification_event(event, epochs)).collect(),
                })),
            },
        }
    }
}

pub(super) fn feed_event(event: &live::FeedEvent, epochs: &Epochs) -> FeedEvent {
    use feed_event::Change;

    let change = match &event.kind {
        FeedEventKind::Posted(post) => {
            let item = convert::pushed_item(event.revision, post, None, epochs);
            Change::Posted(PostedEvent { item: Some(item) })
        }
        FeedEventKind::Reposted { post, by } => {
            let item = convert::pushed_item(event.revision, post, Some(by), epochs);
            Change::Reposted(RepostedEvent { item: Some(item) })
        }
        FeedEventKind::Unreposted { post, by, stand_in, .. } => {
            Change::Unreposted(UnrepostedEvent {
                post_id: post_id::text(*post, epochs),
                user_id: by.to_string(),
                stand_in: stand_in.as_ref().map(|repost| {
                    convert::pushed_item(repost.revision, &repost.post, Some(&repost.by), epochs)
                }),
            })
        }
        FeedEventKind::Deleted(post) => {
            Change::Deleted(DeletedEvent { post_id: post_id::text(*post, epochs) })
        }
        FeedEventKind::AuthorAdded(author) => {
            Change::AuthorAdded(AuthorAddedEvent { author_id: author.to_string() })
        }
        FeedEventKind::AuthorRemoved { author, reason } => {
            Change::AuthorRemoved(AuthorRemovedEvent {
                author_id: author.to_string(),
                reason: removal(*reason).into(),
            })
        }
        FeedEventKind::AuthorShown(author) => {
            Change::AuthorShown(AuthorShownEvent { author_id: author.to_string() })
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
        change: Some(change),
        page_again_revision: event.page_again.get(),
    }
}

fn notification_event(event: &live::FeedEvent, epochs: &Epochs) -> NotificationEvent {
    use notification_event::Change;

    let change = match &event.kind {
        FeedEventKind::Notified(notification) => {
            let notification = Some(convert::notification(notification, epochs));
            Change::Notified(NotifiedEvent { notification })
        }
        FeedEventKind::ActorRemoved { actor, reason } => {
            let (actor_id, reason) = (actor.to_string(), removal(*reason).into());
            Change::ActorRemoved(ActorRemovedEvent { actor_id, reason })
        }
        FeedEventKind::ActorShown(actor) => {
            Change::ActorShown(ActorShownEvent { actor_id: actor.to_string() })
        }
        FeedEventKind::Withdrawn { notification } => {
            Change::Withdrawn(WithdrawnEvent { notification_revision: notification.get() })
        }
        FeedEventKind::Deleted(post) => {
            Change::Deleted(DeletedEvent { post_id: post_id::text(*post, epochs) })
        }
        FeedEventKind::Seen { until } => Change::Seen(SeenEvent { until_revision: until.get() }),
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
        change: Some(change),
        page_again_revision: event.page_again.get(),
    }
}

fn removal(reason: Removal) -> RemovedReason {
    match reason {
        Removal::Unfollow => RemovedReason::Unfollow,
        Removal::Block => RemovedReason::Block,
        Removal::Mute => RemovedReason::Mute,
    }
}
