//! Damaged, exchanged, foreign and old files of a log: each log is refused and stays as it is, or
//! every read of it is right or an error. No damage makes a log shorter in silence, and none ends
//! the process. The one exception is asserted exactly: a last batch that no checkpoint knows.

mod blocks;
mod bytes;
mod erasing;
mod files;
mod foreign;
mod tables;
mod verdict;
mod written_log;
mod young_log;
