//! Caches of counts and posts. They never return an outdated value.

pub(crate) mod counts;
pub(crate) mod posts;
