//! The write path: lookups before a change, clocks, the lists of follows, and the limits of numbers.

mod clock_jumps;
mod evidence;
mod fair_reads;
mod first_reads;
mod follow_lists;
mod numbers;
mod older_reactions;
mod unreadable;
