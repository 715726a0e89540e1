//! Reading feeds: merged from timelines when they are read, and never stored.

pub(crate) mod hidden;
pub(crate) mod home;
pub mod merge;
pub(crate) mod rules;
