//! The command line, the client library, and their output.

mod addresses;
mod bench;
mod bench_shape;
mod client;
mod command_line;
mod config;
mod context;
mod hints;
mod import;
mod json_lines;
mod unknown_messages;
mod verify;
