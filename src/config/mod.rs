//! What can be set, and every limit. Checked once, before a port is bound; only values below here.

mod check;
mod limits;
mod listen;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use check::LimitError;
pub use limits::Limits;
pub use listen::{Listen, ListenError};

/// How a server runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Made if missing.
    pub data_dir: PathBuf,
    /// Where to listen: on all of these, and if their port is 0 on one that all of them get.
    pub listen: Vec<SocketAddr>,
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
    /// There is no address to listen on.
    #[error("there is no address to listen on: give at least one, such as 127.0.0.1:50051")]
    NoAddress,
    /// A limit is not as it must be.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Config {
    /// Checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// Says what is wrong and what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        if self.listen.is_empty() {
            return Err(Error::NoAddress);
        }
        let open = self.listen.iter().find(|address| !address.ip().is_loopback());
        if let Some(&listen) = open.filter(|_| !self.insecure) {
            return Err(Error::OpenToTheNetwork { listen });
        }
        Ok(self.limits.check()?)
    }
}
