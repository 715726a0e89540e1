//! The API over the network: each rule, each bad input, each bad byte.

pub(crate) mod bad_input;
mod bad_wire;
mod compression;
mod facets;
mod follow;
mod health_reflection;
mod overload;
mod publish;
mod shared_response;
mod social_input;
mod wire_errors;
