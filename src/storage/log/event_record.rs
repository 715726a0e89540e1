//! The Protobuf messages of a record in the log, see [`super::codec`]. Fields are only ever added, and
//! a field's number never changes its meaning.

use prost::Message;

use super::facet_codec::FacetsRecord;

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct EventRecord {
    #[prost(fixed64, tag = "1")]
    pub(in crate::storage) time_nanos: u64,
    #[prost(oneof = "ChangeRecord", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub(in crate::storage) change: Option<ChangeRecord>,
    /// The clock's time less the log's own time. Missing in older records, where both are the same.
    #[prost(sint64, tag = "16")]
    pub(in crate::storage) clock_ahead_nanos: i64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(in crate::storage) enum ChangeRecord {
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
pub(in crate::storage) struct FollowRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) follower: String,
    #[prost(string, tag = "2")]
    pub(in crate::storage) followee: String,
    /// Revision of the follow that an unfollow ends; 0 in older records.
    #[prost(uint64, tag = "3")]
    pub(in crate::storage) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct PublishRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) author: String,
    #[prost(string, tag = "2")]
    pub(in crate::storage) text: String,
    #[prost(string, tag = "3")]
    pub(in crate::storage) request_id: String,
    #[prost(message, optional, tag = "4")]
    pub(in crate::storage) parent: Option<PostRecord>,
    /// Missing if it is the parent.
    #[prost(message, optional, tag = "5")]
    pub(in crate::storage) root: Option<PostRecord>,
    #[prost(message, optional, tag = "6")]
    pub(in crate::storage) quote: Option<PostRecord>,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::storage) attachments: Vec<AttachmentRecord>,
    #[prost(string, repeated, tag = "8")]
    pub(in crate::storage) langs: Vec<String>,
    /// Missing from records of the first format, and from those of erased posts.
    #[prost(message, optional, tag = "9")]
    pub(in crate::storage) facets: Option<FacetsRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct PostRecord {
    #[prost(uint64, tag = "1")]
    pub(in crate::storage) revision: u64,
    #[prost(string, tag = "2")]
    pub(in crate::storage) author: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct AttachmentRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) uri: String,
    #[prost(string, tag = "2")]
    pub(in crate::storage) media_type: String,
    #[prost(string, tag = "3")]
    pub(in crate::storage) alt: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct DeleteRecord {
    #[prost(message, optional, tag = "1")]
    pub(in crate::storage) post: Option<PostRecord>,
    /// 0 for none, as no post has that revision.
    #[prost(uint64, tag = "2")]
    pub(in crate::storage) reply_to: u64,
    /// 0 for none.
    #[prost(uint64, tag = "3")]
    pub(in crate::storage) quote: u64,
    #[prost(string, repeated, tag = "4")]
    pub(in crate::storage) notified: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct ReactionRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) user: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::storage) post: Option<PostRecord>,
    /// Revision of the like or repost that this ends; 0 in older records.
    #[prost(uint64, tag = "3")]
    pub(in crate::storage) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct BlockRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) blocker: String,
    #[prost(string, tag = "2")]
    pub(in crate::storage) blocked: String,
    #[prost(bool, tag = "3")]
    pub(in crate::storage) severed_following: bool,
    #[prost(bool, tag = "4")]
    pub(in crate::storage) severed_follower: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct MuteRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) muter: String,
    #[prost(string, tag = "2")]
    pub(in crate::storage) muted: String,
    #[prost(bool, tag = "3")]
    pub(in crate::storage) follows: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct SeenRecord {
    #[prost(string, tag = "1")]
    pub(in crate::storage) user: String,
    #[prost(uint64, tag = "2")]
    pub(in crate::storage) until: u64,
}
