//! Queries: every read of the state.

mod catch_up;
mod feed;
mod hydrate;
mod lists;
mod lookups;
mod notifications;
mod page;
mod profile;
mod results;
pub(crate) mod source;
mod thread;

pub use catch_up::consequences::{LaterReposts, Succession};
pub use catch_up::feed::{Backlog, BacklogKind, BacklogQuery, Conditional, Spot};
pub use catch_up::notifications::{Told, ToldBacklog, ToldQuery};
pub use feed::home::{AuthorPageQuery, FeedPage, PageItem, PageQuery};
pub use feed::merge;
pub use lists::ListQuery;
pub use lookups::{Evidence, Question};
pub use notifications::NoticesQuery;
pub use results::{
    Counts, FeedItem, Gap, ListedUser, Notification, Notifications, Page, PagePosition, PostList,
    PostView, Profile, Relationship, Thread, ThreadPost, UserList,
};
pub use thread::ThreadQuery;
