//! The command line, the client library, and their output.

mod addresses;
mod bench;
mod bench_shape;
mod check;
mod check_index;
mod client;
mod command_line;
mod completions;
mod config;
mod context;
mod dump;
mod hints;
mod import;
mod json_lines;
mod top;
mod unknown_messages;
