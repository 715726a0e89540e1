//! Connections, starts, stops and limits.

mod admin;
mod config;
mod connection_age;
mod connections;
mod drain;
pub(crate) mod limits;
mod listen;
mod memory;
mod other_protocols;
mod pacing;
pub(crate) mod process;
mod proxies;
mod reload;
mod starts;
mod tls;
mod unfinished;
mod untaken;
mod workers;
