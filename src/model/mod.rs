//! Plain values: what a user, a post, a change and a position are.
//!
//! A value here is valid because it exists: text from outside becomes one through its `parse`,
//! and nothing below the edge checks it again. Nothing here knows of a wire format, a file or a
//! clock.

mod cursor;
mod event;
mod post;
mod revision;
mod text;
mod time;
mod user_id;

pub use cursor::{Cursor, LogId};
pub use event::{Change, Event};
pub use post::{Post, PostId};
pub use revision::Revision;
pub use text::{PostText, RequestId, TextError};
pub use time::Timestamp;
pub use user_id::{UserId, UserIdError};

/// The rules' numbers. They are part of what clients are promised, so they are not configurable.
pub mod bounds {
    /// Longest user id. Long enough for any DID of 128 bytes; short enough to index.
    pub const USER_ID_BYTES_MAX: usize = 128;
    /// Longest post text, in bytes and in graphemes: Bluesky's limits (`app.bsky.feed.post`).
    pub const TEXT_BYTES_MAX: usize = 3_000;
    /// See [`TEXT_BYTES_MAX`].
    pub const TEXT_GRAPHEMES_MAX: usize = 300;
    /// Longest request id: room for a UUID with a prefix.
    pub const REQUEST_ID_BYTES_MAX: usize = 64;
}
