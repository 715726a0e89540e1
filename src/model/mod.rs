//! Plain values: what a user, a post, a change and a position are.
//!
//! A value here is valid because it exists: text from outside becomes one through its `parse`,
//! and nothing below the edge checks it again. Nothing here knows of a wire format, a file or a
//! clock.

mod attachment;
mod cursor;
mod event;
mod facet;
mod mark;
mod mention;
mod post;
mod revision;
mod scan;
mod text;
mod time;
mod user_id;
mod visible;

pub use attachment::{Attachment, AttachmentError, AttachmentRule, Lang, LangError};
pub use cursor::{Cursor, LogId};
pub use event::{Change, Event, SeveredFollows};
pub use facet::{Facet, Facets, FacetsError, Feature, Link, LinkError, RangeRule, Tag, TagError};
pub use mark::{Mark, MarkKind};
pub use post::{Content, Post, PostId, PostIdError, PostRef, ReplyTo};
pub use revision::Revision;
pub use text::{PostText, RequestId, TextError};
pub use time::{LogTime, Timestamp};
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
    /// Most attachments of a post: two rows of four pictures.
    pub const ATTACHMENTS_MAX: usize = 8;
    /// Longest URI of an attachment or a link: what browsers and proxies take everywhere.
    pub const URI_BYTES_MAX: usize = 2_048;
    /// Longest media type: two names of 127 bytes and a slash (RFC 6838, 4.2).
    pub const MEDIA_TYPE_BYTES_MAX: usize = 255;
    /// Longest description of an attachment: a paragraph. With eight of all this, and the facets
    /// below, a page of a hundred posts stays below the 4 MiB that clients take by default.
    pub const ALT_BYTES_MAX: usize = 1_000;
    /// Most languages of a post: Bluesky's limit (`app.bsky.feed.post`).
    pub const LANGS_MAX: usize = 3;
    /// Longest language tag: what BCP 47 (RFC 5646, 4.4.1) says to make room for.
    pub const LANG_BYTES_MAX: usize = 35;
    /// Most users that a post notifies because it mentions them: a conversation, and no mailing.
    pub const MENTIONS_MAX: usize = 16;
    /// Most facets of a post: one for every fifth grapheme of the longest text.
    pub const FACETS_MAX: usize = 60;
    /// Most bytes of the user ids, URIs and tags of a post's facets together: twice those of the
    /// longest text. A post that has the most of everything then stays below 39 KiB.
    pub const FACETS_BYTES_MAX: usize = 6_000;
    /// Longest hashtag, in bytes and in graphemes: Bluesky's limits (`app.bsky.richtext.facet`).
    pub const TAG_BYTES_MAX: usize = 640;
    /// See [`TAG_BYTES_MAX`].
    pub const TAG_GRAPHEMES_MAX: usize = 64;
    /// Most ids that one call may ask for: as many as a page has.
    pub const IDS_MAX: usize = 100;
}
