//! Where a log is that several nodes share. Never connects to it.

use std::path::PathBuf;

/// A log in PostgreSQL.
#[derive(Clone, Debug)]
pub struct Store {
    /// `postgres://USER@HOST:PORT/DATABASE?schema=NAME`, without a password.
    pub address: String,
    /// The file with the password of its user, read for each connection.
    pub password_file: Option<PathBuf>,
    /// The authorities that its certificate may be from; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether what PostgreSQL has acknowledged survives a loss of its machine by other means than standbys that its
    /// settings name, as in a managed service: then those settings are not asked for.
    pub is_replicated_elsewhere: bool,
}
