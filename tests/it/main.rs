//! All tests, in one program.

mod crash;
mod log;
mod storage;
