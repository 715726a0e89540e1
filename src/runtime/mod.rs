//! The runtime: the clock, random numbers, files that are watched, the critical threads, the worker
//! threads that serve connections and how late they are, and warnings that others can cause or that
//! are repeated.
//!
//! It never depends on another part of Whimbrel.

mod clock;
mod critical_threads;
pub mod files;
pub mod http_client;
mod lateness;
mod random;
mod reminder;
mod token_wait;
mod warnings;
mod watched_file;
mod workers;

pub use clock::Clock;
pub use critical_threads::{CriticalThreads, ThreadFailure, lower_priority};
pub use lateness::worker_lateness;
pub use random::fill_random;
pub use reminder::Reminder;
pub use token_wait::TokenWait;
pub use warnings::WarningThrottle;
pub use watched_file::WatchedFile;
pub use workers::{Workers, current_shard, spawn_local};
