//! Addresses to listen on, as a person writes them. A name is never resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address, a name, or all addresses of the machine, with a port.
///
/// # Examples
/// ```
/// use whimbrel::config::{Listen, ListenError};
///
/// assert_eq!("*:50051".parse(), Ok(Listen::Everywhere { port: 50051 }));
/// assert!(matches!("[::1]:0".parse(), Ok(Listen::Address(_))));
/// assert!(matches!("localhost:50051".parse(), Ok(Listen::Name { .. })));
///
/// // An error has a valid form.
/// let error: ListenError = "50051".parse::<Listen>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "this is only a port: write localhost:50051, or *:50051 for all addresses"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One address: `127.0.0.1:50051`, `[::1]:50051`.
    Address(SocketAddr),
    /// All addresses that a name resolves to: `localhost:50051`.
    Name {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
    /// All addresses of this machine: `*:50051`, `:50051`.
    Everywhere {
        /// The port.
        port: u16,
    },
}

/// Why a text is not an address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The text is empty.
    #[error("the address is empty: write an address and a port, such as 127.0.0.1:50051")]
    Empty,
    /// A URL.
    #[error("this is a URL: leave out the scheme and the path, as in localhost:50051")]
    Url,
    /// A port without a colon.
    #[error("this is only a port: write localhost:{port}, or *:{port} for all addresses")]
    OnlyPort {
        /// The port.
        port: u16,
    },
    /// A host without a port.
    #[error("there is no port: write {host}:50051")]
    NoPort {
        /// The host.
        host: String,
    },
    /// The port is not a number up to 65,535.
    #[error("{port:?} is not a port: write a number from 0 to 65535, such as {host}:50051")]
    Port {
        /// The host.
        host: String,
        /// The text after the colon.
        port: String,
    },
    /// An IPv6 address without brackets: its last group could be the port.
    #[error("an IPv6 address needs brackets before its port: write [::1]:50051")]
    Brackets,
    /// The text in brackets is not an IPv6 address.
    #[error("{host:?} is not an IPv6 address: write one such as [::1]:50051")]
    NotIpv6 {
        /// The text in brackets.
        host: String,
    },
    /// The host has only digits and dots, but is not an IPv4 address.
    #[error("{host:?} is not an IPv4 address: write four numbers up to 255, as in 127.0.0.1:50051")]
    NotIpv4 {
        /// The host.
        host: String,
    },
    /// The host is not a valid name.
    #[error(
        "{host:?} is not a host name: write letters, digits, hyphens and dots, as in \
         localhost:50051"
    )]
    NotAName {
        /// The host.
        host: String,
    },
}

/// Longest host name (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Longest part of a host name between two dots (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text.is_empty() {
            return Err(ListenError::Empty);
        }
        if text.contains('/') {
            return Err(ListenError::Url);
        }
        if let Some(bracketed) = text.strip_prefix('[') {
            return in_brackets(text, bracketed);
        }
        if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
            return Err(ListenError::Brackets);
        }
        let Some((host, port)) = text.split_once(':') else {
            return Err(match text.parse() {
                Ok(port) => ListenError::OnlyPort { port },
                Err(_) => ListenError::NoPort { host: text.to_owned() },
            });
        };
        let port = self::port(host, port)?;
        if host.is_empty() || host == "*" {
            return Ok(Self::Everywhere { port });
        }
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            let address = host.parse::<Ipv4Addr>();
            let address = address.map_err(|_| ListenError::NotIpv4 { host: host.to_owned() })?;
            return Ok(Self::Address(SocketAddr::new(IpAddr::V4(address), port)));
        }
        if !is_name(host) {
            return Err(ListenError::NotAName { host: host.to_owned() });
        }
        Ok(Self::Name { name: host.to_owned(), port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
            Self::Everywhere { port } => write!(f, "*:{port}"),
        }
    }
}

/// Parses `text`, which is `[` and then `bracketed`.
fn in_brackets(text: &str, bracketed: &str) -> Result<Listen, ListenError> {
    let Some((host, rest)) = bracketed.split_once(']') else {
        return Err(ListenError::NotIpv6 { host: bracketed.to_owned() });
    };
    // The whole text: an address without its port cannot have a scope (`%1`).
    if let Ok(address) = text.parse() {
        return Ok(Listen::Address(address));
    }
    if format!("[{host}]:0").parse::<SocketAddr>().is_err() {
        return Err(ListenError::NotIpv6 { host: host.to_owned() });
    }
    let host = format!("[{host}]");
    match rest.strip_prefix(':') {
        Some(rest) => Err(ListenError::Port { host, port: rest.to_owned() }),
        None => Err(ListenError::NoPort { host }),
    }
}

fn port(host: &str, port: &str) -> Result<u16, ListenError> {
    // The standard parser would accept a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()).then_some(port);
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| ListenError::Port {
        host: if host.is_empty() { "*" } else { host }.to_owned(),
        port: port.to_owned(),
    })
}

/// Whether `host` is letters, digits and hyphens between dots. Underscores are allowed, as many
/// names have them.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let rooted = host.strip_suffix('.').unwrap_or(host);
    rooted.len() <= NAME_BYTES_MAX && rooted.split('.').all(is_label)
}
