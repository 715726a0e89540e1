//! Whimbrel is a social-feed server: the follow graph, the posts, the home feed, and live push,
//! behind a Protobuf API.
//!
//! Everything that changes is an event in one ordered log, in [`storage`]. Everything that is read is a
//! view of that log. From that one decision the rest follows: a cursor is a place in the log,
//! a restart is a replay, and a watcher resumes by reading on.
//!
//! # Layout
//!
//! In reading order; each knows only those before it.
//!
//! - [`model`]: plain values.
//! - [`config`]: what can be set, and every limit.
//! - [`runtime`]: the clock, and the threads that the process cannot live without.
//! - [`storage`]: every change, in order, durable; and tables made from that.
//! - [`state`]: what the log says, in memory.
//! - [`query`]: every read of it.
//! - [`live`]: live feeds.
//! - [`engine`]: takes commands, decides, commits, applies, answers.
//! - [`api`]: the gRPC services.
//! - [`client`]: the other end of them.
//! - [`server`]: wires it all, listens, and stops in order.
//! - [`cli`]: the `whimbrel` program's verbs.

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod engine;
pub mod live;
pub mod model;
pub mod query;
pub mod runtime;
pub mod server;
pub mod state;
pub mod storage;
