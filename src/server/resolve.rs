//! Resolves `--listen` to socket addresses. Never decides whether the server may listen on them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;

use super::Error;
use crate::config::Listen;

/// Most addresses that are taken from a name: a machine usually listens on one or two.
const ADDRESSES_MAX: usize = 16;

/// All addresses of `listen`, each once, in the resolver's order.
///
/// # Errors
/// [`Error::Resolve`] if a name has none, or cannot be looked up.
pub async fn resolve(listen: &Listen) -> Result<Vec<SocketAddr>, Error> {
    match listen {
        Listen::Address(address) => Ok(vec![*address]),
        Listen::Everywhere { port } => {
            Ok(vec![(Ipv4Addr::UNSPECIFIED, *port).into(), (Ipv6Addr::UNSPECIFIED, *port).into()])
        }
        Listen::Name { name, port } => {
            let failed = |source| Error::Resolve { name: name.clone(), source };
            let mut addresses = Vec::new();
            for address in lookup_host((name.as_str(), *port)).await.map_err(failed)? {
                if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() {
                return Err(failed(std::io::ErrorKind::NotFound.into()));
            }
            Ok(addresses)
        }
    }
}
