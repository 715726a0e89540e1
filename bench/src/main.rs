//! Drives Whimbrel and its peers with one load generator, in one run, by turns; and writes down
//! what came of it.

mod cli;
mod data;
mod error;
mod load;
mod machine;
mod measure;
mod mix;
mod peer;
mod report;
mod results;
mod server;
mod stats;
mod watchers;
mod wire;

use std::process::ExitCode;

use clap::Parser;

/// Most of what a call allocates is freed by another thread, which the system's allocator is slow
/// at; the load generator shares the processors with what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
