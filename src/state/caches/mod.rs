//! Caches of what the log and the records say, and never of what they said.

pub(crate) mod counts;
pub(crate) mod posts;
