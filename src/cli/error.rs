//! Why a verb was not done, and the exit code that says so.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::{client, config, server};

/// Why a verb was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, or cannot be reached.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The server does not start, or failed.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the machine said.
        source: std::io::Error,
    },
    /// The server that a verb started for itself does not come up.
    #[error("the bench's own server does not start: {0}")]
    OwnServer(String),
    /// Some of the work was refused.
    #[error("{0}")]
    NotAllDone(String),
    /// The machine gives no runtime.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// Nobody reads the output any more.
    #[error("the output is closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// What the process should end with; `whimbrel --help` lists them.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Client(error) if error.is_transient() => 3,
            Self::Usage(_)
            | Self::Client(client::Error::Address { .. })
            | Self::Server(server::Error::Config(config::Error::Limit(_))) => 2,
            Self::Server(server::Error::Failed(_)) => 5,
            Self::Server(_) | Self::OwnServer(_) | Self::Runtime(_) => 4,
            Self::Client(_)
            | Self::File { .. }
            | Self::NotAllDone(_)
            | Self::Output(_)
            | Self::OutputClosed => 1,
        })
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Output(error),
        }
    }
}
