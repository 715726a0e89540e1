//! The `whimbrel` program: reads the command line, runs one verb, and turns what came of it into
//! an exit code.

use std::process::ExitCode;

use clap::Parser;
use whimbrel::cli::{Cli, Error, Output};

fn main() -> ExitCode {
    let cli = Cli::parse();
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
