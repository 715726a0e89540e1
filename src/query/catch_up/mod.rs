//! What a live stream missed, or begins with.

pub(crate) mod consequences;
pub(crate) mod feed;
pub(crate) mod notifications;
