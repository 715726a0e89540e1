//! What can be set, and every limit. Checked once, before a port is bound; only values below here.

mod limits;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use limits::Limits;

/// How a server runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Made if missing.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether to listen beyond this machine although callers are not authenticated.
    pub insecure: bool,
    /// Whether reflection is served.
    pub reflection: bool,
    /// The limits.
    pub limits: Limits,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody who can reach the address could act as anybody.
    #[error(
        "refusing to listen on {listen}: callers are not authenticated, so whoever reaches that \
         address can act for every user; listen on 127.0.0.1 or [::1] behind a proxy that \
         authenticates, or pass --insecure if the network is trusted"
    )]
    OpenToTheNetwork {
        /// The address.
        listen: SocketAddr,
    },
}

impl Config {
    /// Checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// Says what is wrong and what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        if !self.listen.ip().is_loopback() && !self.insecure {
            return Err(Error::OpenToTheNetwork { listen: self.listen });
        }
        Ok(())
    }
}
