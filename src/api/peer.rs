//! The other end of a connection, as the network shows it. Never says which user calls.

use std::net::{IpAddr, Ipv6Addr};
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

/// The key of limits for each address. Of IPv6 it is the first 64 bits: who has one address of such a
/// network has all of them.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}
