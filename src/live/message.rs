//! The options and the messages of a live stream: values, without any behaviour.

use std::sync::Arc;
use std::time::Duration;

use super::EventBatch;
use crate::model::{Cursor, CursorError};

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// After a position.
    After(Cursor),
    /// With the newest items, at most so many.
    Snapshot {
        /// How many.
        items_max: usize,
    },
}

/// What a stream watches of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The home feed.
    Feed {
        /// Whether all replies of those who are followed are in it, and not only those to the user
        /// and to others who are followed.
        all_replies: bool,
    },
    /// The user's notifications.
    Notifications,
}

/// How a stream behaves.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// What is watched.
    pub of: Watched,
    /// The longest silence, give or take a tenth.
    pub heartbeat: Duration,
    /// If the cursor cannot be served: begin with so many of the newest items instead.
    pub reset_items: Option<usize>,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMessage {
    /// The first.
    Opened {
        /// Where the stream begins.
        cursor: Cursor,
        /// How far the log goes.
        head: Cursor,
        /// The longest silence.
        heartbeat: Duration,
    },
    /// The cursor could not be served; a snapshot follows.
    Reset {
        /// Why.
        reason: CursorError,
        /// The oldest position that could have been served.
        oldest: Cursor,
    },
    /// Everything that concerns the feed in (`prev`, `cursor`].
    Batch {
        /// The cursor sent last.
        prev: Cursor,
        /// The position reached.
        cursor: Cursor,
        /// What happened, in order; not empty.
        events: Arc<EventBatch>,
    },
    /// Backlog or snapshot have been sent.
    CaughtUp {
        /// The position reached.
        cursor: Cursor,
    },
    /// Nothing happened for a while.
    Bookmark {
        /// The position reached.
        cursor: Cursor,
    },
    /// The last: the server is stopping, or the stream is to go on elsewhere.
    Closing {
        /// The position reached.
        cursor: Cursor,
    },
}
