//! What the process runs on: the clock, and the parts that it cannot live without.
//!
//! Nothing here knows what a feed is.

mod clock;
mod lane;
mod vital;

pub use clock::Clock;
pub use lane::lane;
pub use vital::{Failure, Vital};
