//! The messages of a live stream, whatever is watched: only the events differ.

use crate::api::v1::watch_feed_response::{
    self as of_feed, Bookmark, CaughtUp, Closing, Opened, Reset,
};
use crate::api::v1::watch_notifications_response as of_notifications;
use crate::api::v1::{FeedEvent, NotificationEvent, WatchFeedResponse, WatchNotificationsResponse};

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<E = FeedEvent> {
    /// The stream is open.
    Opened(Opened),
    /// Events.
    Batch(Batch<E>),
    /// The stream is live.
    CaughtUp(CaughtUp),
    /// A sign of life.
    Bookmark(Bookmark),
    /// What is watched starts anew.
    Reset(Reset),
    /// The stream is about to end.
    Closing(Closing),
}

/// All events in (`prev_cursor`, `cursor`].
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<E = FeedEvent> {
    /// The last cursor sent before.
    pub prev_cursor: String,
    /// The position reached.
    pub cursor: String,
    /// What happened, in order.
    pub events: Vec<E>,
}

impl<E> Message<E> {
    /// Where to resume after this message; `None` for a reset, which leads nowhere.
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

/// Says how the messages of one RPC, which are in `$of`, are those of all: both ways.
macro_rules! messages_of {
    ($of:ident, $event:ident, $response:ident) => {
        impl From<$of::Message> for Message<$event> {
            fn from(message: $of::Message) -> Self {
                use $of::Message as Of;

                match message {
                    Of::Opened(opened) => Self::Opened(opened),
                    Of::Batch($of::Batch { prev_cursor, cursor, events }) => {
                        Self::Batch(Batch { prev_cursor, cursor, events })
                    }
                    Of::CaughtUp(caught_up) => Self::CaughtUp(caught_up),
                    Of::Bookmark(bookmark) => Self::Bookmark(bookmark),
                    Of::Reset(reset) => Self::Reset(reset),
                    Of::Closing(closing) => Self::Closing(closing),
                }
            }
        }

        impl From<Message<$event>> for $response {
            fn from(message: Message<$event>) -> Self {
                use $of::Message as Of;

                let message = match message {
                    Message::Opened(opened) => Of::Opened(opened),
                    Message::Batch(Batch { prev_cursor, cursor, events }) => {
                        Of::Batch($of::Batch { prev_cursor, cursor, events })
                    }
                    Message::CaughtUp(caught_up) => Of::CaughtUp(caught_up),
                    Message::Bookmark(bookmark) => Of::Bookmark(bookmark),
                    Message::Reset(reset) => Of::Reset(reset),
                    Message::Closing(closing) => Of::Closing(closing),
                };
                Self { message: Some(message) }
            }
        }
    };
}

messages_of!(of_feed, FeedEvent, WatchFeedResponse);
messages_of!(of_notifications, NotificationEvent, WatchNotificationsResponse);
