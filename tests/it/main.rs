//! All tests, in one program: each file is about one thing that is promised, and `harness` lets
//! them read as sentences.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod api;
mod cli;
mod engine;
mod feed;
mod harness;
mod histories;
mod house_rules;
mod live;
mod model;
mod oracle;
mod server;
mod storage;
