//! Values of the model as messages.

use std::time::Duration;

use super::token::encode_cursor;
use super::v1::feed_event::{self, author_removed::Reason};
use super::v1::watch_feed_response::{self as response, Message};
use super::v1::{self, ErrorReason, WatchFeedResponse};
use super::{status, v1::FeedEvent};
use crate::hub::{self, FeedEventKind, Removal, Step};
use crate::model::{Cursor, Post, Timestamp};
use crate::view::FeedItem;

pub(super) fn post(post: &Post) -> v1::Post {
    v1::Post {
        post_id: post.id().to_string(),
        author_id: post.author.to_string(),
        text: post.content.text.as_str().to_owned(),
        revision: post.revision.get(),
        create_time: Some(timestamp(post.time)),
    }
}

pub(super) fn feed_item(item: &Post) -> v1::FeedItem {
    v1::FeedItem { post: Some(post(item)), revision: item.revision.get() }
}

pub(super) fn page_item(item: &FeedItem) -> v1::FeedItem {
    v1::FeedItem { post: Some(post(&item.view.post)), revision: item.revision.get() }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = time.as_secs_and_nanos();
    // Both are far below the bounds of their types until the year 2554.
    prost_types::Timestamp { seconds: seconds.cast_signed(), nanos: nanos.cast_signed() }
}

fn duration(duration: Duration) -> prost_types::Duration {
    // Only spans of minutes come here, which always fit.
    duration.try_into().unwrap_or_default()
}

/// The message for `step`. Batches are sent as [`super::frame::Frame`]s, which are no different.
pub(super) fn step(step: Step) -> WatchFeedResponse {
    message(match step {
        Step::Opened { cursor, head, heartbeat } => Message::Opened(response::Opened {
            cursor: encode_cursor(&cursor),
            head_cursor: encode_cursor(&head),
            heartbeat: Some(duration(heartbeat)),
        }),
        Step::Reset { reason, oldest } => Message::Reset(response::Reset {
            reason: status::cursor_reason(&reason).into(),
            oldest_cursor: encode_cursor(&oldest),
        }),
        Step::Batch { prev, cursor, events } => Message::Batch(response::Batch {
            prev_cursor: encode_cursor(&prev),
            cursor: encode_cursor(&cursor),
            events: events.iter().map(|event| feed_event(event)).collect(),
        }),
        Step::CaughtUp { cursor } => {
            Message::CaughtUp(response::CaughtUp { cursor: encode_cursor(&cursor) })
        }
        Step::Bookmark { cursor } => {
            Message::Bookmark(response::Bookmark { cursor: encode_cursor(&cursor) })
        }
        Step::Closing { cursor } => {
            return closing(ErrorReason::Draining, &cursor, status::DRAIN_DELAY);
        }
    })
}

pub(super) fn closing(
    reason: ErrorReason,
    cursor: &Cursor,
    retry_after: Duration,
) -> WatchFeedResponse {
    message(Message::Closing(response::Closing {
        reason: reason.into(),
        cursor: encode_cursor(cursor),
        retry_after: Some(duration(retry_after)),
    }))
}

fn message(message: Message) -> WatchFeedResponse {
    WatchFeedResponse { message: Some(message) }
}

pub(super) fn feed_event(event: &hub::FeedEvent) -> FeedEvent {
    let what = match &event.kind {
        FeedEventKind::Posted(post) => {
            feed_event::Event::Posted(feed_event::Posted { item: Some(feed_item(post)) })
        }
        FeedEventKind::Reposted { post, .. } => {
            let item = v1::FeedItem { revision: event.revision.get(), ..feed_item(post) };
            feed_event::Event::Reposted(feed_event::Reposted { item: Some(item) })
        }
        FeedEventKind::Unreposted { post, by } => {
            let (post_id, user_id) = (post.to_string(), by.to_string());
            feed_event::Event::Unreposted(feed_event::Unreposted { post_id, user_id })
        }
        FeedEventKind::Deleted(post) => {
            feed_event::Event::Deleted(feed_event::Deleted { post_id: post.to_string() })
        }
        FeedEventKind::AuthorAdded(author) => {
            feed_event::Event::AuthorAdded(feed_event::AuthorAdded {
                author_id: author.to_string(),
            })
        }
        FeedEventKind::AuthorRemoved { author, reason } => {
            feed_event::Event::AuthorRemoved(feed_event::AuthorRemoved {
                author_id: author.to_string(),
                reason: removal(*reason).into(),
            })
        }
        // None of these is sent to a watcher of a home feed.
        FeedEventKind::Notified(_)
        | FeedEventKind::ActorRemoved { .. }
        | FeedEventKind::Seen { .. } => {
            return FeedEvent { revision: event.revision.get(), event: None };
        }
    };
    FeedEvent { revision: event.revision.get(), event: Some(what) }
}

fn removal(reason: Removal) -> Reason {
    match reason {
        Removal::Unfollow => Reason::Unfollow,
        Removal::Block => Reason::Block,
        Removal::Mute => Reason::Mute,
    }
}
