//! Plain values: users, posts, changes and positions.
//!
//! A value is valid because it exists: `parse` checks a text from outside and makes it a value, and
//! nothing below the API checks it again. A value never depends on a wire format, a file or a
//! clock.

mod attachment;
mod chain;
mod cursor;
mod encoded;
mod epoch;
mod event;
mod facet;
mod mark;
mod mention;
mod node_key;
mod post;
mod relation;
mod revision;
mod revision_set;
mod scan;
mod text;
mod time;
mod user_id;
mod visible;

pub use attachment::{Attachment, AttachmentError, AttachmentRule, Lang, LangError};
pub use chain::Chain;
pub use cursor::{Cursor, CursorError, LogExtent, LogId};
pub use encoded::Encoded;
pub use epoch::{Epoch, EpochStart, Epochs};
pub use event::{Change, Event, SeveredFollows};
pub use facet::{Facet, Facets, FacetsError, Feature, Link, LinkError, RangeRule, Tag, TagError};
pub use mark::{Mark, MarkKind};
pub use node_key::NodeKey;
pub use post::{Content, Post, PostId, PostRef, ReplyTo};
pub use relation::{Relation, RelationKind};
pub use revision::Revision;
pub use revision_set::RevisionSet;
pub use text::{PostText, RequestId, TextError};
pub use time::{LogTime, Timestamp};
pub use user_id::{UserId, UserIdError};

/// The bounds of ids and texts. They are part of the API's contract, so they are not configurable.
pub mod bounds {
    /// Longest user id: room for a DID, and short enough for an index.
    pub const USER_ID_BYTES_MAX: usize = 128;
    /// Longest post text, in bytes and in graphemes: Bluesky's limits (`app.bsky.feed.post`).
    pub const TEXT_BYTES_MAX: usize = 3_000;
    /// See [`TEXT_BYTES_MAX`].
    pub const TEXT_GRAPHEMES_MAX: usize = 300;
    /// Longest request id: room for a UUID with a prefix.
    pub const REQUEST_ID_BYTES_MAX: usize = 64;
    /// Most attachments of a post: two rows of four pictures.
    pub const ATTACHMENTS_MAX: usize = 8;
    /// Longest URI of an attachment or a link: all browsers and proxies accept it.
    pub const URI_BYTES_MAX: usize = 2_048;
    /// Longest media type: two names of 127 bytes and a slash (RFC 6838, section 4.2).
    pub const MEDIA_TYPE_BYTES_MAX: usize = 255;
    /// Longest description of an attachment: a paragraph. A page of a hundred posts with the most
    /// attachments and facets stays below the 4 MiB that clients accept by default.
    pub const ALT_BYTES_MAX: usize = 1_000;
    /// Most languages of a post: Bluesky's limit (`app.bsky.feed.post`).
    pub const LANGS_MAX: usize = 3;
    /// Longest language tag: the length that BCP 47 (RFC 5646, section 4.4.1) recommends to
    /// support.
    pub const LANG_BYTES_MAX: usize = 35;
    /// Most users that the mentions of a post notify: a conversation, but no bulk mail.
    pub const MENTIONS_MAX: usize = 16;
    /// Most facets of a post: one for every fifth grapheme of the longest text.
    pub const FACETS_MAX: usize = 60;
    /// Most bytes of the user ids, URIs and tags of a post's facets together: twice the longest
    /// text. The largest post then stays below 39 KiB.
    pub const FACETS_BYTES_MAX: usize = 6_000;
    /// Longest hashtag, in bytes and in graphemes: Bluesky's limits (`app.bsky.richtext.facet`).
    pub const TAG_BYTES_MAX: usize = 640;
    /// See [`TAG_BYTES_MAX`].
    pub const TAG_GRAPHEMES_MAX: usize = 64;
    /// Most ids in one request: the items of a page.
    pub const IDS_MAX: usize = 100;
}
