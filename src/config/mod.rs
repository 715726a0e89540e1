//! The configuration of a server, with every limit. It is checked once, before a port is bound. It
//! never reads the environment or a file.

mod call_log;
mod check;
mod in_force;
mod limits;
mod listen;
mod origins;
mod store;
mod transport;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth;
pub use call_log::{CallLogSettings, Tracing};
pub use check::LimitError;
pub use in_force::LimitsInForce;
pub use limits::Limits;
pub use listen::{Listen, ListenError};
pub use origins::{Origins, OriginsError};
pub use store::Store;
pub use transport::{
    ClientCertificates, ForwardedHeader, Networks, NetworksError, ServerCertificate, Tls, Transport,
};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Created if it does not exist.
    pub data_dir: PathBuf,
    /// Where the log is, if several nodes share it; `None` for one in the data folder alone.
    pub store: Option<Store>,
    /// How callers are authenticated. Without it every caller may do everything.
    pub authentication: Option<auth::Options>,
    /// The addresses to listen on. Those with port 0 share one free port.
    pub listen: Vec<SocketAddr>,
    /// TLS, and the proxies in front of the server.
    pub transport: Transport,
    /// Allows an address that other machines can reach, without TLS or without authentication.
    pub insecure: bool,
    /// The addresses of the admin listener; none of them if there is no such listener.
    pub admin_listen: Vec<SocketAddr>,
    /// Allows the admin listener on an address that other machines can reach.
    pub insecure_admin: bool,
    /// Whether gRPC reflection is served.
    pub reflection: bool,
    /// What the log has about single calls.
    pub call_log: CallLogSettings,
    /// Traces of calls, which are sent to a collector; `None` sends none.
    pub tracing: Option<Tracing>,
    /// When the console is served.
    pub console: ConsoleMode,
    /// The limits.
    pub limits: Limits,
}

/// When a server serves the console, a page in a browser that shows what the server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleMode {
    /// If only this machine can reach the server.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines could reach the address, and read what is sent, or act for every user.
    #[error(
        "refusing to listen on {listen}, which other machines can reach: {lacks}; listen on \
         127.0.0.1 or [::1], or pass --insecure if the network and everybody in it is trusted"
    )]
    OpenToTheNetwork {
        /// The address.
        listen: SocketAddr,
        /// What would make it safe.
        lacks: Lacks,
    },
    /// Other machines could reach the admin listener.
    #[error(
        "refusing to serve metrics on {listen}, which other machines can reach: the admin listener \
         asks nobody who calls, and does not encrypt; give --admin-listen 127.0.0.1:50052, or pass \
         --insecure-admin if everybody in that network may see how busy this server is"
    )]
    AdminOpenToTheNetwork {
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

/// What an address lacks that other machines can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacks {
    /// TLS.
    #[error(
        "what is sent is not encrypted; give --tls-cert and --tls-key, or --behind-tls-proxy with \
         the networks of the proxy that ends TLS"
    )]
    Tls,
    /// Authentication.
    #[error(
        "callers are not authenticated, so everybody who can reach that address can act for every \
         user; give --auth or --auth-file"
    )]
    Authentication,
    /// Both.
    #[error("{}; and {}", Self::Authentication, Self::Tls)]
    Both,
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
        if let (Some(&listen), Some(lacks), false) = (open, self.lacks(), self.insecure) {
            return Err(Error::OpenToTheNetwork { listen, lacks });
        }
        let open = self.admin_listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(&listen), false) = (open, self.insecure_admin) {
            return Err(Error::AdminOpenToTheNetwork { listen });
        }
        Ok(self.limits.check()?)
    }

    /// Whether the console is served.
    #[must_use]
    pub fn serves_console(&self) -> bool {
        match self.console {
            ConsoleMode::Auto => self.listen.iter().all(|address| address.ip().is_loopback()),
            ConsoleMode::On => true,
            ConsoleMode::Off => false,
        }
    }

    /// What an address lacks that other machines can reach; `None` if it is safe.
    fn lacks(&self) -> Option<Lacks> {
        let is_encrypted =
            self.transport.tls.is_some() || !self.transport.behind_tls_proxy.is_empty();
        match (is_encrypted, self.is_authenticated()) {
            (true, true) => None,
            (false, true) => Some(Lacks::Tls),
            (true, false) => Some(Lacks::Authentication),
            (false, false) => Some(Lacks::Both),
        }
    }

    /// Whether the server knows who calls.
    fn is_authenticated(&self) -> bool {
        self.authentication.is_some()
    }
}
