//! Queries: every read of the state. Each file has the queries about one subject.
//!
//! ```text
//!   a query ──▶ Reader::ask ──▶ Query::answer over a Source: memory alone
//!                          └──▶ Query::answer over a Source: memory, the index and the log
//! ```
//!
//! A query is a plain value with its parameters. [`Query::answer`] reads the answer from a
//! [`Source`], and is written once: the source decides whether a read may block. Nothing here
//! changes the state or depends on gRPC.

mod caller;
mod catch_up;
mod chain;
mod error;
mod feed;
mod hydrate;
mod lists;
mod lookups;
mod metrics;
mod notifications;
mod page;
mod posts;
mod profile;
mod reader;
mod results;
mod scan;
mod source;
mod thread;
mod turns;

pub use caller::{CallerKey, QueryCaller, WorkMeter};
pub use catch_up::feed::{Backlog, BacklogEntry, BacklogKind, FeedBacklog};
pub(crate) use catch_up::feed::{ConditionalEvent, belong_to_feed};
pub(crate) use catch_up::notifications::is_still_shown;
pub use catch_up::notifications::{NotificationBacklog, NotificationEvent};
pub use catch_up::snapshot::{FeedSnapshot, NotificationSnapshot, SnapshotBounds};
pub use chain::GetChain;
pub use error::{Error, Unanswered};
pub use feed::author::AuthorFeed;
pub use feed::consequences::LaterReposts;
pub(crate) use feed::consequences::{Replacement, later_reposts, newest_unsettled, replacement};
pub use feed::home::HomeFeed;
pub use feed::merge;
pub(crate) use feed::rules::feed_authors;
pub use lists::ListUsers;
pub use lookups::{
    ExistingPost, FindPost, FindRequest, FoundPost, LookUp, NewestNotification, PublishedPost,
    RequestUse, UsedRequest,
};
pub use notifications::ListNotifications;
pub use posts::{GetPosts, ListPosts};
pub use profile::{GetProfile, GetRelationships};
pub use reader::Reader;
pub use results::{
    Counts, FeedItem, Gap, ListedUser, LogChain, Notification, NotificationPage, Page,
    PagePosition, PostList, PostView, Profile, Relationship, Thread, ThreadPost, UserList,
};
pub use source::Source;
pub use thread::GetThread;

/// A query of the state.
pub trait Query: Send + 'static {
    /// The result.
    type Answer: Send + 'static;

    /// Reads the answer from `source`.
    ///
    /// # Errors
    /// The query is refused; `source` cannot be read; or it is memory alone, which does not have
    /// all that the answer needs.
    fn answer(&self, source: &Source<'_>) -> Result<Self::Answer, Unanswered>;
}
