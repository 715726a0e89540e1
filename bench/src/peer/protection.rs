//! How a Whimbrel server is protected: not at all, by tokens, or by tokens and TLS. Never measures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use whimbrel::auth::{DevelopmentIssuer, Role};
use whimbrel::client::TokenSource;
use whimbrel::model::UserId;
use whimbrel::runtime::Clock;

use crate::data;
use crate::error::Error;

/// The file of the authority that a server makes for itself, in its data folder.
const CA_FILE: &str = "tls/ca.pem";
/// Longer than any run.
const VALID: Duration = Duration::from_secs(24 * 60 * 60);
/// Quotas that no measurement reaches. They are counted all the same.
const QUOTA_MAX: &str = "1000000";

/// What protects a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nothing: nobody is asked who calls.
    Plain,
    /// Each call needs a token: a JSON Web Token that is signed with Ed25519.
    Tokens,
    /// As with tokens, and all connections have TLS 1.3.
    TokensAndTls,
}

/// Makes the tokens that a server takes.
#[derive(Debug)]
pub(super) struct Tokens {
    issuer: DevelopmentIssuer,
    now: Duration,
}

impl Protection {
    /// From nothing to everything.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tokens, Self::TokensAndTls];

    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tokens => "tokens",
            Self::TokensAndTls => "tls",
        }
    }

    /// The flags of the server.
    pub(super) fn flags(self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if self != Self::Plain {
            flags.push("--development-tokens");
            for quota in ["--user-reads-max", "--user-changes-max"] {
                flags.extend([quota, QUOTA_MAX]);
            }
        }
        if self == Self::TokensAndTls {
            flags.push("--tls-self-signed");
        }
        flags
    }

    /// The address for clients of a server that listens on `listen`.
    pub(super) fn address(self, listen: &str) -> String {
        if self == Self::TokensAndTls { format!("https://{listen}") } else { listen.to_owned() }
    }

    /// The authority that clients of a server with this data folder trust.
    pub(super) fn ca_file(self, folder: &Path) -> Option<PathBuf> {
        (self == Self::TokensAndTls).then(|| folder.join(CA_FILE))
    }

    /// Makes tokens for a server with this data folder; `None` if it needs none.
    pub(super) fn tokens(self, folder: &Path) -> Result<Option<Tokens>, Error> {
        if self == Self::Plain {
            return Ok(None);
        }
        let issuer = DevelopmentIssuer::open(folder)?;
        Ok(Some(Tokens { issuer, now: Clock::system().since_epoch().unwrap_or_default() }))
    }
}

impl Tokens {
    /// A token of `user`.
    pub(super) fn of(&self, user: u32) -> Result<TokenSource, Error> {
        let user = UserId::parse(&data::user_name(user))?;
        let token = self.issuer.mint(Role::User, Some(&user), self.now, VALID)?;
        Ok(TokenSource::Text(token))
    }
}
