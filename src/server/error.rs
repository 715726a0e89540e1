//! Why a server does not start, or ends. Never about a call.

use std::net::SocketAddr;

use super::collector::TraceError;
use super::tls::TlsError;
use crate::runtime::ThreadFailure;
use crate::storage::{self, StoreAddressError};
use crate::{api, auth, config, engine};

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data cannot be opened.
    #[error(transparent)]
    Log(#[from] storage::Error),
    /// Other nodes would send their keys in clear text.
    #[error(
        "other nodes would call {address} without TLS, and show the key by which they act for all users to everybody on \
         the way: give --node-address https://HOST:PORT, with TLS there, or pass --insecure if the network between the \
         nodes and everybody in it is trusted"
    )]
    NodeAddress {
        /// The address.
        address: String,
    },
    /// The address of the log in PostgreSQL is none.
    #[error("--store {0}")]
    Store(#[from] StoreAddressError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] engine::OpenError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server there? choose another --listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The address of the admin listener cannot be listened on.
    #[error(
        "cannot serve metrics on {address}: {source}; is another server there? choose another \
         --admin-listen, or none"
    )]
    ListenAdmin {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The name to listen on has no address.
    #[error(
        "cannot listen on {name}: its addresses cannot be found: {source}; choose another \
         --listen, such as 127.0.0.1:50051"
    )]
    Resolve {
        /// The name.
        name: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The keys of callers cannot be used.
    #[error("cannot authenticate callers: {0}")]
    Authentication(#[from] auth::OpenError),
    /// TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// The descriptors built into this program are damaged.
    #[error(transparent)]
    Reflection(#[from] api::ReflectionError),
    /// The operating system started no thread.
    #[error("cannot start the threads that serve: {0}")]
    Workers(std::io::Error),
    /// A vital part failed.
    #[error(transparent)]
    Failed(#[from] ThreadFailure),
}
