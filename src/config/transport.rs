//! How clients reach the server: TLS, the proxies in front of it, and pages in browsers. Never reads a file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use super::Origins;

/// How clients reach the server. By default without TLS and without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// TLS; `None` serves in clear text.
    pub tls: Option<Tls>,
    /// Networks of the proxies that end TLS. If there are any, connections from elsewhere are
    /// refused.
    pub behind_tls_proxy: Networks,
    /// Networks whose connections begin with a PROXY header of version 2. Connections from
    /// elsewhere never do.
    pub proxy_protocol_from: Networks,
    /// The header in which the proxies of `behind_tls_proxy` give the address of a call's client.
    pub forwarded_header: Option<ForwardedHeader>,
    /// Whose pages in browsers may call, besides the server's own.
    pub origins: Origins,
}

/// TLS of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: ServerCertificate,
    /// Certificates of clients; `None` asks for none.
    pub clients: Option<ClientCertificates>,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// PEM files, which are read again when they change.
    Files {
        /// The certificate, and those that lead to its authority.
        certificate: PathBuf,
        /// The private key. Only its owner may read the file, or its group if it is
        /// root's.
        key: PathBuf,
    },
    /// One for this machine alone, in the data folder. It is made if it does not exist.
    SelfSigned,
}

/// Which certificates of clients are accepted. The files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM file with the authorities.
    pub authorities: PathBuf,
    /// PEM file with revocation lists: one of each authority.
    pub revoked: Option<PathBuf>,
    /// Whether a client may have none.
    pub is_optional: bool,
}

/// A header that a proxy adds the address of its client to, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
}

/// A list of networks, such as `10.0.0.0/8,192.0.2.7`.
///
/// # Examples
/// ```
/// use whimbrel::config::Networks;
///
/// let networks: Networks = "10.0.0.0/8,2001:db8::1".parse().unwrap();
/// assert!(networks.contains("10.1.2.3".parse().unwrap()));
/// // An IPv4 address that came as an IPv6 address.
/// assert!(networks.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!networks.contains("2001:db8::2".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Why a text is no list of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworksError {
    /// A part is no network.
    #[error("{part:?} is no network: give some such as 10.0.0.0/8,2001:db8::/32 or 192.0.2.7")]
    NoNetwork {
        /// The part.
        part: String,
    },
    /// A part contains all addresses, so everybody would be trusted as a proxy.
    #[error("{part} is everybody: give the networks that the proxies are in, and nothing else")]
    Everybody {
        /// The part.
        part: String,
    },
}

impl Networks {
    /// Whether one of the networks has `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Networks {
    type Err = NetworksError;

    fn from_str(text: &str) -> Result<Self, NetworksError> {
        text.split(',').map(|part| network(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, network) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

fn network(part: &str) -> Result<IpNet, NetworksError> {
    let network = part.parse().or_else(|_| part.parse().map(|address: IpAddr| address.into()));
    let network: IpNet = network.map_err(|_| NetworksError::NoNetwork { part: part.to_owned() })?;
    if network.prefix_len() == 0 {
        return Err(NetworksError::Everybody { part: part.to_owned() });
    }
    Ok(network)
}
