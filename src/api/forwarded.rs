//! The address of a call's client, as the proxies in front of the server say it. Believes only
//! proxies: what a client has written into the same header is to the left of what they add.
//!
//! ```text
//!   x-forwarded-for: made up, 198.51.100.7, 10.0.0.2      from a proxy 10.0.0.1
//!                             │             └ a proxy: go on to the left
//!                             └ no proxy: the client
//! ```

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::config::{ForwardedHeader, Networks, Transport};

/// Most proxies that are gone through. No call takes so many.
const HOPS_MAX: usize = 16;

/// Whom to believe about the clients of calls.
#[derive(Clone, Debug)]
pub struct Forwarding {
    header: ForwardedHeader,
    proxies: Networks,
}

impl Forwarding {
    /// As `transport` says; `None` if nobody is believed.
    #[must_use]
    pub fn new(transport: &Transport) -> Option<Self> {
        let proxies = transport.behind_tls_proxy.clone();
        transport.forwarded_header.map(|header| Self { header, proxies })
    }

    /// The address of the client of a call with `headers`, which came from `peer`. It is that of
    /// `peer` unless that is a proxy, and the header has an address of no proxy.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_proxy = self.proxies.contains(peer);
        let forwarded = || client(headers, self.header, &self.proxies);
        is_proxy.then(forwarded).flatten().unwrap_or(peer)
    }
}

/// The rightmost address in `header` that is of no proxy. `None` if there is none: the header is
/// missing, or a proxy has written something else.
fn client(headers: &HeaderMap, header: ForwardedHeader, proxies: &Networks) -> Option<IpAddr> {
    let name = match header {
        ForwardedHeader::Forwarded => http::header::FORWARDED.as_str(),
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
    };
    // A list in several headers is one list (RFC 9110, section 5.3).
    let values: Vec<_> = headers.get_all(name).iter().collect();
    let hops = values.into_iter().rev().flat_map(|value| {
        let hops: Vec<_> = value.to_str().unwrap_or_default().rsplit(',').collect();
        hops
    });
    for hop in hops.take(HOPS_MAX) {
        let node = match header {
            ForwardedHeader::Forwarded => forwarded_for(hop)?,
            ForwardedHeader::XForwardedFor => hop,
        };
        let address = address(node)?;
        if !proxies.contains(address) {
            return Some(address.to_canonical());
        }
    }
    None
}

/// The value of `for` in an element of `Forwarded` (RFC 7239, section 4). A comma or a semicolon
/// in a quoted value is none that an address has, so it is not looked for.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// An address, with or without a port; of IPv6 also in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let with_port = || node.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}
