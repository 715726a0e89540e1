//! Why a verb failed, and its exit code. Never prints.

use std::path::PathBuf;
use std::process::ExitCode;

use super::settings::SettingsError;
use crate::runtime::files::FileError;
use crate::{auth, backup, client, config, dump, server, storage};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the call, or cannot be reached.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The server does not start, or failed.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The log in a folder is damaged, or cannot be read.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// A backup cannot be taken, used or restored.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// A log cannot be dumped or loaded.
    #[error(transparent)]
    Dump(#[from] dump::Error),
    /// The API keys of a folder cannot be used or changed.
    #[error(transparent)]
    Keys(#[from] auth::KeyTableError),
    /// A file with tokens cannot be used.
    #[error(transparent)]
    TokenFile(#[from] FileError),
    /// A token for development cannot be made.
    #[error(transparent)]
    Token(#[from] auth::MintError),
    /// The file with the settings of a server is refused.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A server that was asked for its status does not serve.
    #[error("{0}")]
    NotServing(String),
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", file.display())]
    File {
        /// The path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The server that `bench` starts failed to start.
    #[error("the bench's own server does not start: {0}")]
    OwnServer(String),
    /// Requested posts do not exist, or the reader cannot see them.
    #[error("not found: {missing} of {requested}")]
    NotFound {
        /// Number of posts that were not found.
        missing: usize,
        /// Number of requested posts.
        requested: usize,
    },
    /// A part of the work failed.
    #[error("{0}")]
    NotAllDone(String),
    /// The runtime, a thread or a signal handler cannot be started.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// The reader of the output closed it.
    #[error("the output is closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// The exit code of the process. `whimbrel --help` lists the codes.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotServing(_) => 3,
            Self::Client(error)
            | Self::Backup(backup::Error::Client(error))
            | Self::Dump(dump::Error::Client(error))
                if error.is_transient() =>
            {
                3
            }
            Self::Usage(_)
            | Self::Settings(_)
            | Self::Client(client::Error::Address { .. })
            | Self::Server(server::Error::Config(config::Error::Limit(_))) => 2,
            Self::Server(server::Error::Failed(_)) => 5,
            Self::Server(_) | Self::OwnServer(_) | Self::Runtime(_) => 4,
            Self::Client(_)
            | Self::Log(_)
            | Self::Backup(_)
            | Self::Dump(_)
            | Self::Keys(_)
            | Self::Token(_)
            | Self::TokenFile(_)
            | Self::File { .. }
            | Self::NotFound { .. }
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
