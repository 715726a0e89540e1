//! What feeds, lists and counts are, by definition, and changes drawn at random to compare by.

pub(crate) mod any_change;
pub(crate) mod relations;
pub(crate) mod world;
