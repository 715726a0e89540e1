//! What reads of posts and people give: values, without any behaviour.

use std::sync::Arc;

use crate::model::{Post, PostId, Revision, Timestamp, UserId};
use crate::state::NotificationKind;

/// A place in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePosition {
    /// The page has what is older than this.
    pub before: Revision,
    /// The position that the listing began with.
    pub at: Revision,
}

/// A page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end of the listing.
    pub next: Option<PagePosition>,
    /// The position that the listing began with.
    pub at: Revision,
}

/// A post as somebody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostView {
    /// The post.
    pub post: Arc<Post>,
    /// How often it was liked, and so on, as far as they see it.
    pub counts: Counts,
    /// Whether they like it.
    pub liked: bool,
    /// Whether they reposted it.
    pub reposted: bool,
}

/// How often a post was liked, and so on: what is not taken back or deleted, as somebody sees it.
/// Each is the length of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By how many it is liked.
    pub likes: u64,
    /// By how many it was reposted.
    pub reposts: u64,
    /// How many posts answer it.
    pub replies: u64,
    /// How many posts quote it.
    pub quotes: u64,
}

/// One entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    /// Its place in the feed: that of the post, or of the repost.
    pub revision: Revision,
    /// The post.
    pub post: PostView,
    /// Who reposted it, if that is why it is here.
    pub reposted_by: Option<UserId>,
}

/// A list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserList {
    /// Who likes a post.
    Likes(PostId),
    /// Who reposted a post.
    Reposts(PostId),
    /// Who follows a user.
    Followers(UserId),
    /// Whom a user follows.
    Following(UserId),
    /// Whom the viewer blocks.
    Blocks,
    /// Whom the viewer mutes.
    Mutes,
}

/// A user in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// Who.
    pub user: UserId,
    /// The change that put them there.
    pub since: Revision,
}

/// A list of posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostList {
    /// The posts that answer a post.
    Replies(PostId),
    /// The posts that quote a post.
    Quotes(PostId),
}

/// A post, what it answers, and what answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// What it answers, from the root on down to its parent; only the nearest, if there are many.
    pub ancestors: Vec<ThreadPost>,
    /// The post.
    pub post: ThreadPost,
    /// What answers it, level by level, each level oldest first.
    pub replies: Vec<ThreadPost>,
    /// If answers to the post itself are left out: those after this one.
    pub next_after: Option<PostId>,
}

/// A post in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPost {
    /// Which.
    pub id: PostId,
    /// What it answers.
    pub parent: Option<PostId>,
    /// How far it is below the post that was asked for, in answers; 0 for that and for what it
    /// answers.
    pub depth: usize,
    /// What it says, or why that is not shown.
    pub shown: Result<PostView, Gap>,
    /// Whether it has answers that are left out, because there are too many or they are too deep:
    /// such as are shown, or have something below them that is, or where it would take too long to
    /// find out.
    pub has_more_replies: bool,
}

/// Why a post of a thread is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It was deleted.
    Deleted,
    /// Its author and the viewer do not see each other.
    Hidden,
}

/// What is between a user and another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    /// The other.
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

/// A user in numbers, as somebody sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who.
    pub user: UserId,
    /// How many follow them.
    pub followers: u64,
    /// How many they follow.
    pub following: u64,
    /// How many posts of theirs there are.
    pub posts: u64,
    /// How many likes those have.
    pub likes_received: u64,
}

/// Something that a user is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The change that it tells of.
    pub revision: Revision,
    /// When that was.
    pub time: Timestamp,
    /// What happened.
    pub kind: NotificationKind,
    /// Who did it.
    pub actor: UserId,
    /// The user's post that it was done to, if it was.
    pub subject: Option<PostId>,
    /// The post that was published, for a reply, a quote or a mention.
    pub post: Option<Arc<Post>>,
}

/// A page of what a user is told of.
#[derive(Debug)]
pub struct NotificationPage {
    /// The notifications.
    pub page: Page<Notification>,
    /// How many the user has not seen, counted up to a limit.
    pub unseen: usize,
    /// Up to where they have seen them.
    pub seen_until: Revision,
}
