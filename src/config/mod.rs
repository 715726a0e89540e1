//! The configuration of a server, with every limit. It is checked once, before a port is bound. It
//! never reads the environment or a file.

mod check;
mod limits;
mod listen;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth;
pub use check::LimitError;
pub use limits::Limits;
pub use listen::{Listen, ListenError};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Created if it does not exist.
    pub data_dir: PathBuf,
    /// How callers are authenticated. Without it every caller may do everything.
    pub authentication: Option<auth::Options>,
    /// The addresses to listen on. Those with port 0 share one free port.
    pub listen: Vec<SocketAddr>,
    /// Allows an address that other machines can reach, although callers are not authenticated.
    pub insecure: bool,
    /// Whether gRPC reflection is served.
    pub reflection: bool,
    /// The limits.
    pub limits: Limits,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines could reach the address, and act for every user.
    #[error(
        "refusing to listen on {listen}: callers are not authenticated, so everybody who can reach \
         that address can act for every user; listen on 127.0.0.1 or [::1] behind a proxy that \
         authenticates, or pass --insecure if the network is trusted"
    )]
    OpenToTheNetwork {
        /// The address.
        listen: SocketAddr,
    },
    /// The list of addresses is empty.
    #[error("there is no address to listen on: give at least one, such as 127.0.0.1:50051")]
    NoAddress,
    /// A limit is refused.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Config {
    /// Checks all values. Opens no file and no port.
    ///
    /// # Errors
    /// The first value that is refused.
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
