//! All tests, in one program.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "to panic is how a test fails")]

mod crash;
mod harness;
mod history;
mod log;
mod process;
mod storage;
