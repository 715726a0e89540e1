//! The other end of a connection, as the network shows it. Never says which user calls.

use std::net::IpAddr;
use std::sync::Arc;

/// The client of a call; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address: as a trusted proxy gives it, or else of the socket.
    pub address: IpAddr,
    /// The certificate with which the client has proven itself to this server.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A client's certificate, which one of the configured authorities has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The names that it is for: DNS names, then URIs such as `spiffe://example.org/backend`.
    pub names: Vec<String>,
}
