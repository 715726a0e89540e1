//! Who may call: tokens, keys, roles, and the ends of streams.

mod access;
mod api_keys;
mod command_line;
pub(crate) mod issuer;
mod kept_keys;
mod overload;
pub(crate) mod providers;
mod quotas;
mod secrets;
mod streams;
mod tokens;
