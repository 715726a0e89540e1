//! The options and the messages of a live stream: values, without any behaviour. Nothing here
//! depends on gRPC.

use std::sync::Arc;
use std::time::Duration;

use super::EventBatch;
use crate::model::{Cursor, CursorError};

/// The start of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Only events from now on.
    Now,
    /// All events after a cursor.
    After(Cursor),
    /// All events after a cursor that is known to be refused.
    AfterRefused(CursorError),
    /// The newest items, and then all events after them.
    Snapshot {
        /// The maximum number of items.
        items_max: usize,
    },
}

/// The feed that a stream watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The home feed.
    Feed {
        /// Whether the feed has all replies of the followed users, and not only those to the user
        /// and to other followed users.
        all_replies: bool,
    },
    /// The user's notifications.
    Notifications,
}

/// The options of a stream.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// The watched feed.
    pub of: Watched,
    /// The longest time without a message, give or take a tenth.
    pub heartbeat: Duration,
    /// If the cursor cannot be served, start with a snapshot of at most so many items instead.
    pub reset_items: Option<usize>,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMessage {
    /// The first message.
    Opened {
        /// The start of the stream.
        cursor: Cursor,
        /// The newest position that reads show.
        head: Cursor,
        /// The longest time without a message.
        heartbeat: Duration,
    },
    /// The cursor could not be served; a snapshot follows.
    Reset {
        /// The reason.
        reason: CursorError,
        /// The oldest cursor that can be served.
        oldest: Cursor,
    },
    /// All events of the feed in (`prev`, `cursor`].
    Batch {
        /// The cursor that was sent last.
        prev: Cursor,
        /// The position of the last event.
        cursor: Cursor,
        /// The events, in the order of the log; never empty.
        events: Arc<EventBatch>,
    },
    /// The backlog or the snapshot is sent.
    CaughtUp {
        /// The position up to which all events are sent.
        cursor: Cursor,
    },
    /// The feed had no event during a heartbeat.
    Bookmark {
        /// The position up to which all events are sent.
        cursor: Cursor,
    },
    /// The last message: the server is stopping, or the client has to connect again.
    Closing {
        /// The position up to which all events are sent.
        cursor: Cursor,
    },
}
