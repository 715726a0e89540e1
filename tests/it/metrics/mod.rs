//! Metrics: each one moves when what it counts happens, and what names them names some that exist.

mod connections;
mod deploy;
pub(crate) mod document;
mod moved;
mod trouble;
