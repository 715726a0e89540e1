//! Whimbrel is a social-feed server: the follow graph, the posts, the home feed, and live push,
//! behind a Protobuf API (gRPC).
//!
//! Every change is an event in one ordered log, in [`storage`]. Every read comes from a state that
//! is derived from the log. So a cursor is a position in the log, a restart replays the log, and a
//! watcher resumes by reading the log from its cursor.
//!
//! # Layout
//!
//! In reading order. A module never depends on one after it.
//!
//! - [`formats`]: the versions of all that is kept on disks.
//! - [`model`]: values: users, posts, changes and positions.
//! - [`runtime`]: the clock, the critical threads, and the worker threads.
//! - [`auth`]: callers: who makes a call, and what they may do.
//! - [`config`]: the configuration, and every limit.
//! - [`storage`]: the log of all changes, and the index that is derived from it.
//! - [`state`]: the state in memory that is derived from the log.
//! - [`query`]: every read of the state.
//! - [`live`]: live feeds.
//! - [`engine`]: the write path: it decides, commits and applies commands, and answers them.
//! - [`cluster`]: the nodes that share a log.
//! - [`api`]: the gRPC services.
//! - [`client`]: a client of these services.
//! - [`backup`]: backups of the log, and how they are restored.
//! - [`server`]: assembles the parts, listens, and stops in order.
//! - [`cli`]: the verbs of the program `whimbrel`.

pub mod api;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod dump;
pub mod engine;
pub mod formats;
pub mod live;
pub mod model;
pub mod query;
pub mod runtime;
pub mod server;
pub mod state;
pub mod storage;
