//! Which RPCs a caller may call: one row for each. Whom a call may be made for is checked with its
//! request, by [`Caller::act_for`](super::Caller::act_for).
//!
//! An RPC without a row is never served to anybody. A test compares the rows with the descriptors,
//! and the table in `docs/security.md` with what a server does.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::caller::Role;
use super::error::Refusal;

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, also without a token.
    Everybody,
    /// Every caller: it reads as a user.
    Reads,
    /// As [`Access::Reads`], and the answer is a stream.
    Watches,
    /// Callers that may change something: it changes something as a user.
    Changes,
    /// Callers that act for all users: it is about all of them.
    AllUsers,
    /// Operators: it is about the server and all that it stores.
    Administers,
}

/// The RPCs of the package `whimbrel.v1`, with who may call them.
const ROWS: [(&str, Access); 41] = [
    ("AdminService/CheckIndex", Access::Administers),
    ("AdminService/GetMetrics", Access::Administers),
    ("AdminService/ListSegments", Access::Administers),
    ("AdminService/ReadSegment", Access::Administers),
    ("FeedService/Follow", Access::Changes),
    ("FeedService/Unfollow", Access::Changes),
    ("FeedService/Publish", Access::Changes),
    ("FeedService/NewsFeed", Access::Reads),
    ("FeedService/WatchFeed", Access::Watches),
    ("GraphService/Block", Access::Changes),
    ("GraphService/Unblock", Access::Changes),
    ("GraphService/Mute", Access::Changes),
    ("GraphService/Unmute", Access::Changes),
    ("GraphService/ListFollowers", Access::Reads),
    ("GraphService/ListFollowing", Access::Reads),
    ("GraphService/ListBlocks", Access::Reads),
    ("GraphService/ListMutes", Access::Reads),
    ("GraphService/GetRelationships", Access::Reads),
    ("GraphService/GetProfile", Access::Reads),
    ("LogService/GetChain", Access::AllUsers),
    ("MetaService/GetServerInfo", Access::Reads),
    ("MetaService/GetCluster", Access::AllUsers),
    ("MetaService/GetLatestCursor", Access::Reads),
    ("NotificationService/ListNotifications", Access::Reads),
    ("NotificationService/MarkNotificationsSeen", Access::Changes),
    ("NotificationService/WatchNotifications", Access::Watches),
    ("PostService/GetPosts", Access::Reads),
    ("PostService/DeletePost", Access::Changes),
    ("PostService/ListPosts", Access::Reads),
    ("PostService/GetThread", Access::Reads),
    ("PostService/Like", Access::Changes),
    ("PostService/Unlike", Access::Changes),
    ("PostService/Repost", Access::Changes),
    ("PostService/Unrepost", Access::Changes),
    ("PostService/ListLikes", Access::Reads),
    ("PostService/ListReposts", Access::Reads),
    ("PostService/ListReplies", Access::Reads),
    ("PostService/ListQuotes", Access::Reads),
    // Of other packages.
    ("/grpc.health.v1.Health/Check", Access::Everybody),
    ("/grpc.health.v1.Health/List", Access::Everybody),
    ("/grpc.health.v1.Health/Watch", Access::Everybody),
];
/// Services that describe the API, in all their versions. They are served only if the operator
/// wants.
const REFLECTION: &str = "/grpc.reflection.";

/// By path, with the place in [`ROWS`].
static ACCESS: LazyLock<HashMap<String, (usize, Access)>> = LazyLock::new(|| {
    let path = |name: &str| match name.strip_prefix('/') {
        Some(_) => name.to_owned(),
        None => format!("/whimbrel.v1.{name}"),
    };
    (0..).zip(&ROWS).map(|(place, (name, access))| (path(name), (place, *access))).collect()
});

/// Who may call the RPC with the path `path`; `None` if there is no such RPC.
#[must_use]
pub fn of(path: &str) -> Option<Access> {
    if path.starts_with(REFLECTION) {
        return Some(Access::Everybody);
    }
    ACCESS.get(path).map(|&(_, access)| access)
}

/// The place of the RPC with the path `path` among [`paths`]; `None` if it is not there.
#[must_use]
pub fn place(path: &str) -> Option<usize> {
    ACCESS.get(path).map(|&(place, _)| place)
}

/// The paths of all RPCs, but those of reflection, in the order of their places.
pub fn paths() -> impl Iterator<Item = &'static str> {
    let mut paths: Vec<_> = ACCESS.iter().map(|(path, (place, _))| (place, path)).collect();
    paths.sort_unstable();
    paths.into_iter().map(|(_, path)| path.as_str())
}

impl Access {
    /// Whether a caller with `role` may call.
    ///
    /// # Errors
    /// It may not.
    pub fn check(self, role: Role) -> Result<(), Refusal> {
        let may = match self {
            Self::Everybody | Self::Reads | Self::Watches => true,
            Self::Changes => role.may_change(),
            Self::AllUsers => !role.is_one_user(),
            Self::Administers => role == Role::Admin,
        };
        if may { Ok(()) } else { Err(Refusal::Role { role }) }
    }
}
