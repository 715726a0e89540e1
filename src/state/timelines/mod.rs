//! Timelines: rising lists of marks, which feeds are merged from. Each user has one of posts, for
//! the feeds of followers, and one of changes, for the own feeds. A timeline never has the
//! events themselves.

pub(crate) mod changes;
pub(crate) mod posts;
