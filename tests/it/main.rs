//! The integration tests, in one program. Each file tests one promise; the tests read as sentences
//! through `harness`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

mod api;
mod auth;
mod backup;
mod calls;
mod cli;
mod cluster;
mod engine;
mod feed;
mod harness;
mod histories;
mod house_rules;
mod live;
mod made_pages;
mod metrics;
mod model;
mod oracle;
mod server;
mod storage;
mod web;
