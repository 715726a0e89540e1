//! The Protobuf messages of a record in the log, see [`super::codec`]. Fields are only ever added, and
//! a field's number never changes its meaning.

use prost::Message;

use super::facet_codec::FacetsRecord;

#[derive(Clone, PartialEq, Message)]
pub(super) struct EventRecord {
    #[prost(fixed64, tag = "1")]
    pub(super) time_nanos: u64,
    #[prost(oneof = "ChangeRecord", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub(super) change: Option<ChangeRecord>,
    /// The clock's time less the log's own time. Missing in older records, where both are the same.
    #[prost(sint64, tag = "16")]
    pub(super) clock_ahead_nanos: i64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ChangeRecord {
    #[prost(message, tag = "2")]
    Follow(FollowRecord),
    #[prost(message, tag = "3")]
    Unfollow(FollowRecord),
    #[prost(message, tag = "4")]
    Publish(PublishRecord),
    /// An erased post: author, references and request id.
    #[prost(message, tag = "5")]
    Erased(PublishRecord),
    #[prost(message, tag = "6")]
    Delete(DeleteRecord),
    #[prost(message, tag = "7")]
    Like(ReactionRecord),
    #[prost(message, tag = "8")]
    Unlike(ReactionRecord),
    #[prost(message, tag = "9")]
    Repost(ReactionRecord),
    #[prost(message, tag = "10")]
    Unrepost(ReactionRecord),
    #[prost(message, tag = "11")]
    Block(BlockRecord),
    #[prost(message, tag = "12")]
    Unblock(BlockRecord),
    #[prost(message, tag = "13")]
    Mute(MuteRecord),
    #[prost(message, tag = "14")]
    Unmute(MuteRecord),
    #[prost(message, tag = "15")]
    See(SeenRecord),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FollowRecord {
    #[prost(string, tag = "1")]
    pub(super) follower: String,
    #[prost(string, tag = "2")]
    pub(super) followee: String,
    /// Revision of the follow that an unfollow ends; 0 in older records.
    #[prost(uint64, tag = "3")]
    pub(super) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PublishRecord {
    #[prost(string, tag = "1")]
    pub(super) author: String,
    #[prost(string, tag = "2")]
    pub(super) text: String,
    #[prost(string, tag = "3")]
    pub(super) request_id: String,
    #[prost(message, optional, tag = "4")]
    pub(super) parent: Option<PostRecord>,
    /// Missing if it is the parent.
    #[prost(message, optional, tag = "5")]
    pub(super) root: Option<PostRecord>,
    #[prost(message, optional, tag = "6")]
    pub(super) quote: Option<PostRecord>,
    #[prost(message, repeated, tag = "7")]
    pub(super) attachments: Vec<AttachmentRecord>,
    #[prost(string, repeated, tag = "8")]
    pub(super) langs: Vec<String>,
    /// Missing from records of the first format, and from those of erased posts.
    #[prost(message, optional, tag = "9")]
    pub(super) facets: Option<FacetsRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PostRecord {
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(string, tag = "2")]
    pub(super) author: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttachmentRecord {
    #[prost(string, tag = "1")]
    pub(super) uri: String,
    #[prost(string, tag = "2")]
    pub(super) media_type: String,
    #[prost(string, tag = "3")]
    pub(super) alt: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRecord {
    #[prost(message, optional, tag = "1")]
    pub(super) post: Option<PostRecord>,
    /// 0 for none, as no post has that revision.
    #[prost(uint64, tag = "2")]
    pub(super) reply_to: u64,
    /// 0 for none.
    #[prost(uint64, tag = "3")]
    pub(super) quote: u64,
    #[prost(string, repeated, tag = "4")]
    pub(super) notified: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReactionRecord {
    #[prost(string, tag = "1")]
    pub(super) user: String,
    #[prost(message, optional, tag = "2")]
    pub(super) post: Option<PostRecord>,
    /// Revision of the like or repost that this ends; 0 in older records.
    #[prost(uint64, tag = "3")]
    pub(super) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BlockRecord {
    #[prost(string, tag = "1")]
    pub(super) blocker: String,
    #[prost(string, tag = "2")]
    pub(super) blocked: String,
    #[prost(bool, tag = "3")]
    pub(super) severed_following: bool,
    #[prost(bool, tag = "4")]
    pub(super) severed_follower: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MuteRecord {
    #[prost(string, tag = "1")]
    pub(super) muter: String,
    #[prost(string, tag = "2")]
    pub(super) muted: String,
    #[prost(bool, tag = "3")]
    pub(super) follows: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SeenRecord {
    #[prost(string, tag = "1")]
    pub(super) user: String,
    #[prost(uint64, tag = "2")]
    pub(super) until: u64,
}
