//! Where the log is in PostgreSQL: `postgres://USER@HOST:PORT/DATABASE?schema=NAME`. Never holds a password that came
//! from the address, which other users of the machine may see.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::config::Store;

/// The schema without another name.
const SCHEMA: &str = "whimbrel";
/// The longest name in PostgreSQL.
const SCHEMA_BYTES_MAX: usize = 63;
/// A server that is there answers within it; the next host of several is tried after it.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes that are not acknowledged for so long mean a lost connection.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Where a replicated log is.
#[derive(Clone)]
pub struct StoreAddress {
    pub(super) config: tokio_postgres::Config,
    pub(super) schema: String,
}

/// Why a text is no address of a log.
#[derive(Debug, thiserror::Error)]
pub enum StoreAddressError {
    /// It is no address of PostgreSQL.
    #[error("must be postgres://USER@HOST:PORT/DATABASE?schema=NAME, but {0}")]
    NotAnAddress(String),
    /// It has a password.
    #[error(
        "must have no password, which other users of this machine could see: write it into a file and give \
         --store-password-file"
    )]
    Password,
    /// It names no host, or no user.
    #[error("must name a {0}: postgres://USER@HOST:PORT/DATABASE")]
    Missing(&'static str),
    /// Its schema is no plain name.
    #[error(
        "must have a schema of 1 to 63 of the characters a-z, 0-9 and _, beginning with a letter"
    )]
    Schema,
}

/// How the log in PostgreSQL is used: see [`Store`].
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub(super) address: StoreAddress,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) is_replicated_elsewhere: bool,
}

impl TryFrom<Store> for StoreOptions {
    type Error = StoreAddressError;

    fn try_from(store: Store) -> Result<Self, StoreAddressError> {
        let Store { address, password_file, ca_file, is_replicated_elsewhere, .. } = store;
        Ok(Self { address: address.parse()?, password_file, ca_file, is_replicated_elsewhere })
    }
}

impl StoreAddress {
    /// The hosts, without anything else.
    #[must_use]
    pub fn server(&self) -> String {
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        let host = |(at, host): (usize, &Host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(at)),
            Host::Unix(path) => path.display().to_string(),
        };
        self.config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(",")
    }

    /// Whether all hosts are this machine, so that nobody can listen to a connection.
    pub(super) fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Host::Unix(_) => true,
        })
    }
}

impl FromStr for StoreAddress {
    type Err = StoreAddressError;

    fn from_str(text: &str) -> Result<Self, StoreAddressError> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let is_schema = |part: &&str| part.starts_with("schema=");
        let schema = query.split('&').find(is_schema).map_or(SCHEMA, |part| &part[7..]);
        let rest: Vec<_> = query.split('&').filter(|part| !is_schema(part)).collect();
        let rest = rest.join("&");
        let address =
            if rest.is_empty() { address.to_owned() } else { format!("{address}?{rest}") };
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            return Err(StoreAddressError::NotAnAddress(
                "it begins with something else".to_owned(),
            ));
        }
        let parsed = address.parse::<tokio_postgres::Config>();
        // Not the error itself, which may quote a password.
        let mut config =
            parsed.map_err(|_| StoreAddressError::NotAnAddress("it cannot be read".to_owned()))?;
        if config.get_password().is_some() {
            return Err(StoreAddressError::Password);
        }
        if config.get_hosts().is_empty() {
            return Err(StoreAddressError::Missing("host"));
        }
        if config.get_user().is_none() {
            return Err(StoreAddressError::Missing("user"));
        }
        let is_plain = |(at, byte): (usize, u8)| {
            byte.is_ascii_lowercase() || (at > 0 && (byte.is_ascii_digit() || byte == b'_'))
        };
        let is_long = schema.len() > SCHEMA_BYTES_MAX;
        if schema.is_empty() || is_long || !schema.bytes().enumerate().all(is_plain) {
            return Err(StoreAddressError::Schema);
        }
        config
            .application_name("whimbrel")
            .connect_timeout(CONNECT_TIME_MAX)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives_idle(SILENCE_MAX / 2)
            .keepalives_interval(SILENCE_MAX / 4)
            .keepalives_retries(2)
            // Of several hosts the one that takes writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let mut address = Self { config, schema: schema.to_owned() };
        // Certificates are checked, unless the address itself asks for none: nothing between the two is a choice.
        let is_clear = address.is_local() || address.config.get_ssl_mode() == SslMode::Disable;
        let ssl = if is_clear { SslMode::Disable } else { SslMode::Require };
        address.config.ssl_mode(ssl);
        Ok(address)
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, schema {}", self.server(), self.schema)
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreAddress({self})")
    }
}
