//! The API over the network: the calls, bad input and bad bytes.

pub(crate) mod bad_input;
mod bad_wire;
mod chain;
mod compression;
mod facets;
mod follow;
mod generated_input;
mod health_reflection;
mod lost_history;
mod overload;
mod publish;
mod same_post;
mod shared_response;
mod social_input;
mod wire_errors;
