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
    /// Where other nodes reach this one, as `https://HOST:PORT`; `None` for the address that it listens on, if that
    /// names one machine.
    pub node_address: Option<String>,
    /// Where clients reach this node, for those that have to leave another one; `None` if that is for nobody to know.
    pub node_public_address: Option<String>,
    /// The authorities that the certificates of other nodes may be from; `None` for those of the system.
    pub node_ca_file: Option<PathBuf>,
}
