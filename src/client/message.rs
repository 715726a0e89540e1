//! The messages of a live stream. The streams of all RPCs share them and differ in their events
//! only. Never interprets an event.

use crate::api::v1::{
    FeedBatch, FeedEvent, NotificationBatch, NotificationEvent, StreamBookmark, StreamCaughtUp,
    StreamClosing, StreamOpened, StreamReset, WatchFeedResponse, WatchNotificationsResponse,
    watch_feed_response as of_feed, watch_notifications_response as of_notifications,
};

/// One message of a live stream.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchMessage<E = FeedEvent> {
    /// The stream is open.
    Opened(StreamOpened),
    /// Events.
    Batch(WatchBatch<E>),
    /// The backlog is complete: the stream is live.
    CaughtUp(StreamCaughtUp),
    /// A heartbeat with a cursor.
    Bookmark(StreamBookmark),
    /// The cursor cannot be served, so the stream starts again with a snapshot.
    Reset(StreamReset),
    /// The server is about to end the stream.
    Closing(StreamClosing),
}

/// All events in (`prev_cursor`, `cursor`].
#[derive(Clone, Debug, PartialEq)]
pub struct WatchBatch<E = FeedEvent> {
    /// The cursor sent before this batch.
    pub prev_cursor: String,
    /// The position after the batch.
    pub cursor: String,
    /// In the order of the log.
    pub events: Vec<E>,
}

impl<E> WatchMessage<E> {
    /// The cursor to resume from after this message; `None` for a reset, which has none.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Opened(opened) => Some(&opened.cursor),
            Self::Batch(batch) => Some(&batch.cursor),
            Self::CaughtUp(caught_up) => Some(&caught_up.cursor),
            Self::Bookmark(bookmark) => Some(&bookmark.cursor),
            Self::Closing(closing) => Some(&closing.cursor),
            Self::Reset(_) => None,
        }
    }
}

/// Converts between [`WatchMessage`] and the messages of one RPC, which are in module `$of`.
macro_rules! messages_of {
    ($of:ident, $batch:ident, $event:ident, $response:ident) => {
        impl From<$of::Kind> for WatchMessage<$event> {
            fn from(kind: $of::Kind) -> Self {
                use $of::Kind as Of;

                match kind {
                    Of::Opened(opened) => Self::Opened(opened),
                    Of::Batch($batch { prev_cursor, cursor, events }) => {
                        Self::Batch(WatchBatch { prev_cursor, cursor, events })
                    }
                    Of::CaughtUp(caught_up) => Self::CaughtUp(caught_up),
                    Of::Bookmark(bookmark) => Self::Bookmark(bookmark),
                    Of::Reset(reset) => Self::Reset(reset),
                    Of::Closing(closing) => Self::Closing(closing),
                }
            }
        }

        impl From<WatchMessage<$event>> for $response {
            fn from(message: WatchMessage<$event>) -> Self {
                use $of::Kind as Of;

                let kind = match message {
                    WatchMessage::Opened(opened) => Of::Opened(opened),
                    WatchMessage::Batch(WatchBatch { prev_cursor, cursor, events }) => {
                        Of::Batch($batch { prev_cursor, cursor, events })
                    }
                    WatchMessage::CaughtUp(caught_up) => Of::CaughtUp(caught_up),
                    WatchMessage::Bookmark(bookmark) => Of::Bookmark(bookmark),
                    WatchMessage::Reset(reset) => Of::Reset(reset),
                    WatchMessage::Closing(closing) => Of::Closing(closing),
                };
                Self { kind: Some(kind) }
            }
        }
    };
}

messages_of!(of_feed, FeedBatch, FeedEvent, WatchFeedResponse);
messages_of!(of_notifications, NotificationBatch, NotificationEvent, WatchNotificationsResponse);
