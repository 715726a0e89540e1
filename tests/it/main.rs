//! All tests, in one program: each file is about one thing that is promised, and `harness` lets
//! them read as sentences.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod crash;
mod follow;
mod harness;
mod history;
mod log;
mod news_feed;
mod process;
mod publish;
mod storage;
mod stream_steps;
mod watch;
