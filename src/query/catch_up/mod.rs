//! What a live stream missed, or begins with, and what events do to one feed: everything that a
//! stream reads of the state.
//!
//! Nothing here knows of channels or messages.

pub(super) mod feed;
pub(super) mod notifications;
pub(super) mod snapshot;
