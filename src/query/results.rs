//! The results of queries: values, without any behaviour. Nothing here depends on gRPC.

use std::sync::Arc;

use crate::model::{Chain, LogId, Post, PostId, Revision, Timestamp, UserId};
use crate::state::NotificationKind;

/// The position of a page in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePosition {
    /// The page has items older than this.
    pub before: Revision,
    /// The revision at which the first page was read.
    pub at: Revision,
}

/// A page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The position of the next page; `None` at the end of the listing.
    pub next: Option<PagePosition>,
    /// The revision at which the first page of the listing was read.
    pub at: Revision,
}

/// A post as a viewer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostView {
    /// The post itself, which is the same for all viewers.
    pub post: Arc<Post>,
    /// The counts, without users whom the viewer does not see.
    pub counts: Counts,
    /// Whether the viewer likes the post.
    pub liked: bool,
    /// Whether the viewer reposted the post.
    pub reposted: bool,
}

/// The counts of a post for a viewer. Each is the length of the list that the same viewer gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The users who like the post.
    pub likes: u64,
    /// The users who reposted the post.
    pub reposts: u64,
    /// The posts that reply to the post itself.
    pub replies: u64,
    /// The posts that quote the post.
    pub quotes: u64,
}

/// One entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    /// The position in the feed: the revision of the post, or of the repost.
    pub revision: Revision,
    /// The post, or the reposted post.
    pub post: PostView,
    /// The user who reposted; `None` if the entry is the post itself.
    pub reposted_by: Option<UserId>,
}

/// A list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserList {
    /// The users who like a post.
    Likes(PostId),
    /// The users who reposted a post.
    Reposts(PostId),
    /// The users who follow a user.
    Followers(UserId),
    /// The users followed by a user.
    Following(UserId),
    /// The users blocked by the viewer.
    Blocks,
    /// The users muted by the viewer.
    Mutes,
}

/// A user in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// The user's name.
    pub user: UserId,
    /// The revision of the like, the repost, the follow, the block or the mute.
    pub since: Revision,
}

/// A list of posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostList {
    /// The posts that reply to a post.
    Replies(PostId),
    /// The posts that quote a post.
    Quotes(PostId),
}

/// A post, its ancestors, and the replies below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The chain of parents, from the root down to the parent of the post; only the nearest, if
    /// there are more than the limit.
    pub ancestors: Vec<ThreadPost>,
    /// The post that was requested.
    pub post: ThreadPost,
    /// The replies, level by level, each level oldest first.
    pub replies: Vec<ThreadPost>,
    /// The next page of replies to the post itself starts after this one; `None` if there is none.
    pub next_after: Option<PostId>,
}

/// A post in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPost {
    /// The id, also of a gap.
    pub id: PostId,
    /// The post that it replies to.
    pub parent: Option<PostId>,
    /// The number of replies from the requested post down to this one; 0 for the requested post and
    /// its ancestors.
    pub depth: usize,
    /// The post, or the reason why it is not shown.
    pub shown: Result<PostView, Gap>,
    /// Whether replies are left out, because there are too many or they are too deep. Only replies
    /// that are shown count, or have a shown reply below them, or may have one but it would take
    /// too long to find out.
    pub has_more_replies: bool,
}

/// The reason why a post of a thread is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The post was deleted.
    Deleted,
    /// The author and the viewer do not see each other.
    Hidden,
}

/// The relations between a user and another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    /// The other user.
    pub user: UserId,
    /// The user follows the other.
    pub following: bool,
    /// The other follows the user.
    pub followed_by: bool,
    /// The user blocks the other.
    pub blocking: bool,
    /// The other blocks the user.
    pub blocked_by: bool,
    /// The user mutes the other.
    pub muting: bool,
}

/// A user's numbers as a viewer sees them, without users whom the viewer does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The user's name.
    pub user: UserId,
    /// The users who follow the user.
    pub followers: u64,
    /// The users whom the user follows.
    pub following: u64,
    /// The user's posts, without deleted ones.
    pub posts: u64,
    /// The likes of these posts.
    pub likes_received: u64,
}

/// The chain of a log at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogChain {
    /// The log.
    pub log: LogId,
    /// The last of the events that the chain is computed from.
    pub revision: Revision,
    /// The chain.
    pub chain: Chain,
}

/// A notification of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The revision of the event.
    pub revision: Revision,
    /// The time of the event.
    pub time: Timestamp,
    /// The kind of the event.
    pub kind: NotificationKind,
    /// The user who caused the event.
    pub actor: UserId,
    /// The recipient's post that was liked, reposted, replied to or quoted; `None` for a follow or
    /// a mention.
    pub subject: Option<PostId>,
    /// The actor's post, for a reply, a quote or a mention.
    pub post: Option<Arc<Post>>,
}

/// A page of a user's notifications.
#[derive(Debug)]
pub struct NotificationPage {
    /// The notifications of the page.
    pub page: Page<Notification>,
    /// The notifications after `seen_until`, counted up to a limit.
    pub unseen: usize,
    /// The revision up to which the user has seen their notifications.
    pub seen_until: Revision,
}
