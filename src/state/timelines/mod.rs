//! Timelines: for each user the rising list of marks by which they concern feeds.

pub(crate) mod changes;
pub(crate) mod posts;
