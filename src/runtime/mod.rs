//! What the process runs on: the clock, the parts that it cannot live without, and the threads
//! that connections live on.
//!
//! Nothing here knows what a feed is.

mod clock;
mod critical_threads;
mod workers;

pub use clock::Clock;
pub use critical_threads::{CriticalThreads, ThreadFailure};
pub use workers::{Workers, current_shard, spawn_local};
