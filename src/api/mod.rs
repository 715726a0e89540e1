//! The gRPC services: parse what comes, call the engine, say what it answered.
//!
//! Apart from the server and the client that stand on it, this is the only place that knows tonic
//! or the generated types. One service is one folder, and one RPC one file in it, but where many are of
//! one shape. Nothing here decides anything about feeds.

pub mod admission;
mod calls;
mod changes;
pub mod codec;
mod convert;
mod deadline;
mod feed;
mod fields;
pub mod frame;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod graph;
mod head;
mod health;
mod listing;
mod lists;
mod notification;
mod post;
mod reflection;
pub mod stall;
mod status;
mod steps;
mod token;
mod watching;

/// The generated types and services of `proto/whimbrel/v1`.
#[allow(
    missing_docs,
    rustdoc::all,
    clippy::all,
    reason = "generated; the comments are the protos', written for every language"
)]
pub mod v1 {
    tonic::include_proto!("whimbrel.v1");
}

/// The generated services, as the server answers them.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    clippy::all,
    reason = "generated; the comments are the protos', written for every language"
)]
mod v1_server {
    include!(concat!(env!("OUT_DIR"), "/server/whimbrel.v1.rs"));
}

pub use admission::{Admission, Admitted};
use calls::Calls;
use feed::Feed;
use graph::Graph;
pub use health::Health;
use notification::Notifications;
use post::Posts;
pub use reflection::{DESCRIPTORS, ReflectionError};
pub use stall::{Closer, StallWatch};
use tonic::service::Routes;
use v1_server::feed_service_server::FeedServiceServer;
use v1_server::graph_service_server::GraphServiceServer;
use v1_server::notification_service_server::NotificationServiceServer;
use v1_server::post_service_server::PostServiceServer;

use crate::config::Limits;
use crate::engine::Engine;

/// What the services are made of.
#[derive(Debug)]
pub struct Parts {
    /// What answers.
    pub engine: Engine,
    /// The limits.
    pub limits: Limits,
    /// Who watches for readers that accept nothing.
    pub stall_watch: StallWatch,
    /// Whether reflection is served.
    pub reflection: bool,
}

/// All services, and the health that one of them tells.
///
/// # Errors
/// The descriptors built into this program are damaged.
pub fn routes(parts: Parts) -> Result<(Routes, Health), ReflectionError> {
    let Parts { engine, limits, stall_watch, reflection } = parts;
    let (health, health_service) = Health::new();
    let bytes_max = limits.request_bytes_max;
    let calls = Calls { engine, limits, stall_watch };
    let feed = FeedServiceServer::new(Feed(calls.clone()));
    let graph = GraphServiceServer::new(Graph(calls.clone()));
    let notifications = NotificationServiceServer::new(Notifications(calls.clone()));
    let posts = PostServiceServer::new(Posts(calls));

    let mut routes = Routes::builder();
    routes
        .add_service(feed.max_decoding_message_size(bytes_max))
        .add_service(graph.max_decoding_message_size(bytes_max))
        .add_service(notifications.max_decoding_message_size(bytes_max))
        .add_service(posts.max_decoding_message_size(bytes_max))
        .add_service(health_service);
    if reflection {
        reflection::add(&mut routes)?;
    }
    Ok((routes.routes(), health))
}
