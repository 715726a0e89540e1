//! Benchmarks of Whimbrel and its peers, with one load generator, in turns within one run. Writes
//! results and a report; never changes the systems' own data.

mod cli;
mod compare;
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

/// Memory of a call is mostly freed by another thread, at which the system's allocator is slow. The
/// load generator shares the processors with the servers that it measures.
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
