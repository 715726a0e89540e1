//! The `whimbrel` program: reads the command line, runs one verb, and turns its result into an exit
//! code. Never does any work itself.

use std::process::ExitCode;

use whimbrel::cli::{Cli, Error};

/// Most memory that a call allocates is freed by another thread, for which the system's allocator
/// is slow. With this one an import of small changes takes a quarter less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    let output = cli.output();
    match cli.run(&output) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output closed it, as `head` does. That is no failure.
        Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}
