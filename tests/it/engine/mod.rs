//! Deciding changes: what is looked up before, clocks, numbers at their ends.

mod clock_jumps;
mod evidence;
mod first_reads;
mod numbers;
