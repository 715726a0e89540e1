//! What the process runs on: the clock, the parts that it cannot live without, and the threads
//! that connections live on.
//!
//! Nothing here knows what a feed is.

mod clock;
mod vital;
mod workers;

pub use clock::Clock;
pub use vital::{Failure, Vital};
pub use workers::{Workers, lane, spawn_local};
