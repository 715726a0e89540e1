//! All tests, in one program: each file is about one thing that is promised, and `harness` lets
//! them read as sentences.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod any_change;
mod bad_input;
mod bad_wire;
mod bench;
mod client;
mod config;
mod connection_age;
mod connections;
mod crash;
mod dispatch;
mod drain;
mod erase;
mod erase_crash;
mod feed_histories;
mod feed_rules;
mod follow;
mod fragile_disk;
mod frames;
mod harness;
mod health_reflection;
mod history;
mod import;
mod index;
mod index_damage;
mod index_facts;
mod index_trouble;
mod layers;
mod log;
mod model;
mod news_feed;
mod overload;
mod process;
mod publish;
mod reads;
mod social_input;
mod starts;
mod storm;
mod stream_steps;
mod thread;
mod values;
mod watch;
mod watch_pace;
mod workers;
mod world;
