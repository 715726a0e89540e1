//! The cases, by what breaks.

pub(crate) mod aimed;
pub(crate) mod bit_rot;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod disk;
pub(crate) mod half_open;
pub(crate) mod keys;
pub(crate) mod kills;
pub(crate) mod memory;
pub(crate) mod nodes;
pub(crate) mod panics;
pub(crate) mod power;
pub(crate) mod stopped;
