//! Where a server is, as people write it. What this client does not speak is refused here, so that
//! nothing is ever sent in another way than it was asked for.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// The scheme that is spoken: HTTP/2 without TLS.
const SCHEME: &str = "http";

/// An address that can be connected to: a host and a port.
///
/// Parsed from `host:port`, or from `http://host:port` (RFC 3986), with or without a `/` after it.
/// An IPv6 address stands in brackets. White space around it is not part of it: a variable's value
/// may come with the end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Authority);

/// What is wrong with an address, and what to give instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing.
    #[error("it is empty: give host:port, such as 127.0.0.1:50051")]
    Empty,
    /// It asks for TLS.
    #[error(
        "{scheme}:// asks for TLS, which this client does not speak: give http://host:port, of the \
         server itself or of a proxy near you that speaks TLS to it"
    )]
    Tls {
        /// What was asked for.
        scheme: String,
    },
    /// It asks for something that is not spoken.
    #[error("{scheme}:// is not spoken: give host:port, or http://host:port")]
    Scheme {
        /// What was asked for.
        scheme: String,
    },
    /// It names somebody.
    #[error("it has a user name before an @, and none is ever sent: give host:port alone")]
    UserInfo,
    /// It goes on after the port.
    #[error("it has {rest:?} after the host and port, which means nothing here: leave that out")]
    Path {
        /// What is too much.
        rest: String,
    },
    /// There is no port.
    #[error("it has no port: give host:port, such as 127.0.0.1:50051")]
    NoPort,
    /// The port is none.
    #[error("{port:?} is not a port: give a number from 1 to 65535")]
    Port {
        /// What stands for it.
        port: String,
    },
    /// An IPv6 address without brackets, or something with several colons.
    #[error("it has several colons: put an IPv6 address in brackets, such as [::1]:50051")]
    Brackets,
    /// The host is none.
    #[error("{host:?} is not a host: give a name, an IPv4 address, or an IPv6 address in brackets")]
    Host {
        /// What stands for it.
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
        let given = match given.split_once("://") {
            Some((scheme, after)) => {
                spoken(scheme)?;
                after
            }
            None => given,
        };
        let (authority, rest) = given.split_at(given.find(['/', '?', '#']).unwrap_or(given.len()));
        if !matches!(rest, "" | "/") {
            return Err(AddressError::Path { rest: rest.to_owned() });
        }
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (host, port) = split(authority)?;
        // Only digits: a number may otherwise have a sign before it.
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        let number = port.parse::<u16>().ok().filter(|number| is_number && *number > 0);
        let number = number.ok_or_else(|| AddressError::Port { port: port.to_owned() })?;
        let no_host = || AddressError::Host { host: host.to_owned() };
        if host.is_empty() || host == "[]" {
            return Err(no_host());
        }
        let authority = Authority::try_from(format!("{host}:{number}")).map_err(|_| no_host())?;
        Ok(Self(authority))
    }
}

/// Refuses a scheme that is not spoken. Case does not matter in one (RFC 3986, section 3.1).
fn spoken(scheme: &str) -> Result<(), AddressError> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        SCHEME => Ok(()),
        "https" | "grpcs" => Err(AddressError::Tls { scheme }),
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
    /// As a URI.
    pub(super) fn uri(&self) -> String {
        format!("{SCHEME}://{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
