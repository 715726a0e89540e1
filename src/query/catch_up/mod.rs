//! Queries of live streams: the events that a stream missed, the first entries of a snapshot, and
//! the effects of an event on one feed. Never sends anything.

pub(super) mod feed;
pub(super) mod notifications;
pub(super) mod snapshot;
