//! The cache of posts, with their counts and what feeds need of them. It never returns an outdated
//! value.

mod counts;
pub(crate) mod facts;
pub(crate) mod posts;
