//! The expected results: feeds, lists and counts computed from the changes by definition, and
//! changes drawn at random.
//!
//! Slow and obvious on purpose. It shares no code with the server but plain values.

pub(crate) mod any_change;
pub(crate) mod feeds;
pub(crate) mod history;
mod lists;
