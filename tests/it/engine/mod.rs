//! The write path: lookups before a change, clocks, and the limits of numbers.

mod clock_jumps;
mod evidence;
mod first_reads;
mod numbers;
mod older_reactions;
mod unreadable;
