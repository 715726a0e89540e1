//! The `whimbrel` program: reads the command line, runs one verb, and turns what came of it into
//! an exit code.

use std::process::ExitCode;

use whimbrel::cli::{Cli, Error, Output};

/// Most of what a call allocates is freed by another thread, which the system's allocator is slow
/// at: with this one an import of small changes takes a quarter less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    let output = Output::new(cli.json);
    match cli.run(&output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it.
        Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}
