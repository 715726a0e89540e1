//! Metrics: each one moves when what it counts happens, and what names them names some that exist.

mod cluster;
mod connections;
mod deploy;
pub(crate) mod document;
mod moved;
mod trouble;
