//! The runtime: the clock, the critical threads, and the worker threads that serve connections.
//!
//! It never depends on another part of Whimbrel.

mod clock;
mod critical_threads;
mod workers;

pub use clock::Clock;
pub use critical_threads::{CriticalThreads, ThreadFailure};
pub use workers::{Workers, current_shard, spawn_local};
