//! The metrics of authentication: how callers were found, or why they were not, and the fetches of the keys
//! of identity providers. Never has a user, an issuer or a token.

use super::error::Refusal;
use crate::runtime::metrics::{Counter, Metric, MetricValue, Scrape, label};

const FETCHES: Metric = Metric::counter(
    "whimbrel_key_fetches_total",
    &["outcome"],
    "Fetches of the keys of identity providers",
);

label! {
    /// How it was found out who makes a call, or why it was not.
    pub enum IdentifyOutcome {
        /// The token was accepted before.
        Seen = "seen_before",
        /// The token was verified, or the certificate is known.
        Verified = "verified",
        /// Tokens were not looked at, because the server is overloaded or too many were refused.
        NotLookedAt = "not_looked_at",
        /// There is no token.
        NoToken = "no_token",
        /// The header or the token has no valid form.
        Malformed = "malformed",
        /// Its issuer is not trusted, or has no such key.
        UnknownSigner = "unknown_signer",
        /// The keys of its issuer, or the time, are not known here.
        NoKeys = "no_keys",
        /// Its signature is wrong, or there is no such API key.
        Forged = "forged",
        /// It does not say what is needed.
        Claims = "claims",
        /// It has expired, or is not valid yet.
        Expired = "expired",
        /// It is revoked.
        Revoked = "revoked",
    }
}

impl From<&Refusal> for IdentifyOutcome {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NoToken => Self::NoToken,
            Refusal::Header | Refusal::TooLong { .. } | Refusal::Malformed => Self::Malformed,
            Refusal::Issuer | Refusal::UnknownKey => Self::UnknownSigner,
            Refusal::NoKeys | Refusal::Clock => Self::NoKeys,
            Refusal::Signature | Refusal::NoSuchKey => Self::Forged,
            Refusal::Claim { .. }
            | Refusal::User { .. }
            | Refusal::NoRole
            | Refusal::Role { .. }
            | Refusal::OtherUser { .. } => Self::Claims,
            Refusal::Expired | Refusal::NotYetValid | Refusal::KeyExpired => Self::Expired,
            Refusal::Revoked => Self::Revoked,
        }
    }
}

/// The metrics of what happens without a call.
#[derive(Debug, Default)]
pub(super) struct KeyFetches {
    pub(super) done: Counter,
    pub(super) failed: Counter,
}

/// Collects `fetches`; without them there were none.
pub(super) fn collect(fetches: Option<&KeyFetches>, scrape: &mut Scrape) {
    let count = |of: fn(&KeyFetches) -> &Counter| fetches.map_or(0, |fetches| of(fetches).get());
    let sample = |name: &str, count| ([name.to_owned()], MetricValue::count(count));
    let done = sample("done", count(|fetches| &fetches.done));
    scrape.add(&FETCHES, [done, sample("failed", count(|fetches| &fetches.failed))]);
}
