//! The address of a server, as people write it. Refuses protocols that this client does not speak:
//! it never sends in another way than the address says, and never without TLS where it says TLS.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// The scheme of HTTP/2 without TLS, which an address without a scheme means.
const CLEAR: &str = "http";
/// The scheme of HTTP/2 over TLS.
const TLS: &str = "https";

/// The address of a server: a host and a port, with or without TLS.
///
/// Parsed from `host:port`, or from `http://host:port` or `https://host:port` (RFC 3986), with or
/// without a `/` after it.
/// An IPv6 address is in brackets. White space around it is ignored: the value of a variable may
/// end with a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    authority: Authority,
    is_tls: bool,
}

/// Why an address is refused, and what to give instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is empty.
    #[error("it is empty: give host:port, such as 127.0.0.1:50051")]
    Empty,
    /// The scheme is not supported.
    #[error(
        "{scheme}:// is not supported: give host:port or http://host:port; or, for TLS, https://host:port"
    )]
    Scheme {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// There is a user name.
    #[error("it has a user name before an @, and none is ever sent: give host:port alone")]
    UserInfo,
    /// There is a path, a query or a fragment.
    #[error("it has {rest:?} after the host and port, which has no meaning: leave that out")]
    Path {
        /// The text after the port.
        rest: String,
    },
    /// There is no port.
    #[error("it has no port: give host:port, such as 127.0.0.1:50051")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("{port:?} is not a port: give a number from 1 to 65535")]
    Port {
        /// The text of the port.
        port: String,
    },
    /// There are several colons, as in an IPv6 address without brackets.
    #[error("it has several colons: put an IPv6 address in brackets, such as [::1]:50051")]
    Brackets,
    /// There are more addresses than nodes.
    #[error("there are more than {max} addresses: give some of them")]
    TooMany {
        /// The most.
        max: usize,
    },
    /// An address is given twice.
    #[error("{address} is given twice: give it once")]
    Twice {
        /// The address.
        address: String,
    },
    /// The host is neither a name nor an address.
    #[error("{host:?} is not a host: give a name, an IPv4 address, or an IPv6 address in brackets")]
    Host {
        /// The text of the host.
        host: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let given = given.trim();
        if given.is_empty() {
            return Err(AddressError::Empty);
        }
        let (is_tls, given) = match given.split_once("://") {
            Some((scheme, after)) => (is_tls(scheme)?, after),
            None => (false, given),
        };
        let (authority, rest) = given.split_at(given.find(['/', '?', '#']).unwrap_or(given.len()));
        if !matches!(rest, "" | "/") {
            return Err(AddressError::Path { rest: rest.to_owned() });
        }
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (host, port) = split(authority)?;
        // Only digits, because `parse` accepts a sign.
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        let number = port.parse::<u16>().ok().filter(|number| is_number && *number > 0);
        let number = number.ok_or_else(|| AddressError::Port { port: port.to_owned() })?;
        let no_host = || AddressError::Host { host: host.to_owned() };
        if host.is_empty() || host == "[]" {
            return Err(no_host());
        }
        let authority = Authority::try_from(format!("{host}:{number}")).map_err(|_| no_host())?;
        Ok(Self { authority, is_tls })
    }
}

/// Whether `scheme` asks for TLS. Schemes are case-insensitive (RFC 3986, section 3.1).
fn is_tls(scheme: &str) -> Result<bool, AddressError> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        CLEAR => Ok(false),
        TLS => Ok(true),
        _ => Err(AddressError::Scheme { scheme }),
    }
}

/// The host, in brackets if it is an IPv6 address, and the port.
fn split(authority: &str) -> Result<(&str, &str), AddressError> {
    let host_end = match authority.find(']') {
        Some(bracket) if authority.starts_with('[') => bracket + 1,
        _ => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        Some(port) if port.contains(':') => Err(AddressError::Brackets),
        Some("") => Err(AddressError::NoPort),
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Err(AddressError::NoPort),
        None => Err(AddressError::Host { host: authority.to_owned() }),
    }
}

impl Address {
    /// Whether the server is called with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether it is of this machine, so that nobody is on the way.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let host = self.host();
        let address = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
    }

    /// The host and the port.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host, an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The address as a URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{}://{}", if self.is_tls { TLS } else { CLEAR }, self.authority)
    }
}

/// In the shortest form: without the scheme if there is no TLS.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls {
            return f.write_str(&self.uri());
        }
        self.authority.fmt(f)
    }
}
