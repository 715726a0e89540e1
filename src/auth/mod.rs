//! Callers: who makes a call, and what they may do.
//!
//! A call has a bearer token, which is a JSON Web Token of an issuer that the operator configured
//! ([`Settings`]) or an API key of this server ([`ApiKeys`]); or its connection has a client
//! certificate. [`Auth`] makes a [`Caller`] of it, and [`access`] says which RPCs a caller may call.
//!
//! ```text
//!   authorization: Bearer … ──▶ seen before? ──no──▶ token.rs: signature, claims ──▶ Caller
//!                                    │               api_keys.rs: hash              ▲
//!                                    └─yes──────────────────────────────────────────┘
//! ```
//!
//! Never keeps a token or the secret of a key, never logs one, and never fetches an address that a
//! token names.

pub mod access;
mod api_keys;
mod caller;
mod development;
mod ends;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod issuer;
mod kept_keys;
mod key_table;
mod key_time;
mod keys;
mod metrics;
mod provider_keys;
mod seen;
mod service;
mod settings;
mod token;

pub use api_keys::{ApiKey, ApiKeys, KeyId, NewKey};
pub use caller::{Caller, Role, UnknownRole};
pub use development::{DevelopmentIssuer, MintError};
pub use ends::EndCause;
pub use error::Refusal;
pub use key_table::{KeyTable, KeyTableError, TableChange};
pub use key_time::{KeyTime, KeyTimeError};
pub use metrics::IdentifyOutcome;
pub use service::{Auth, OpenError, Options};
pub use settings::{Settings, SettingsError};
