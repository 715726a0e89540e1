//! Metrics: each one moves when what it counts happens, and is in the document that is made of them.

mod connections;
mod deploy;
mod document;
mod moved;
mod trouble;
