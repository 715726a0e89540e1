//! The gRPC services: they parse requests, call the engine, and convert its results to responses.
//!
//! Only this module, and the server and the client above it, know tonic and the generated types. A
//! service is a folder, and an RPC is a file in it, except where many RPCs have the same shape.
//! Never decides anything about feeds.

pub mod account;
mod admin;
pub mod admission;
pub mod answer;
pub mod authentication;
mod caller;
mod calls;
mod changes;
mod closer;
pub mod codec;
mod context;
mod convert;
mod deadline;
pub mod encoded_post;
mod feed;
mod fields;
mod forwarded;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod graph;
mod head;
mod health;
mod listing;
mod lists;
mod log;
mod meta;
mod metrics;
mod nodes;
mod notification;
mod peer;
mod post;
mod post_id;
mod proto_json;
mod quotas;
mod reflection;
pub mod shared_response;
mod status;
mod stream_responses;
mod token;
mod watch;
mod web;
mod whole_request;

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

/// The generated traits of the services, and the messages that have posts, in which a post is an
/// [`EncodedPost`](encoded_post::EncodedPost).
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

pub use account::{Account, Accounts, AddressPot, HeldAnswer, OpenAccount};
use admin::AdminRpcs;
pub use admission::{Admission, AdmissionService};
pub use answer::AnswerBody;
pub use authentication::Authentication;
pub use caller::{RequestFields, ResponseFields};
pub use calls::{CallLog, FinishedCall, SpanOutcome, Tracer};
pub use closer::Closer;
use context::ServiceContext;
use feed::FeedRpcs;
pub use forwarded::Forwarding;
use graph::GraphRpcs;
pub use health::Health;
use log::LogRpcs;
use meta::MetaRpcs;
pub use metrics::ApiMetrics;
pub use nodes::{ConnectNode, Nodes};
use notification::NotificationRpcs;
pub use peer::{ClientCertificate, Peer, network};
use post::PostRpcs;
pub use proto_json::{JsonMessage, MessageType, Schema, SchemaError};
pub use quotas::Quotas;
pub use reflection::{DESCRIPTORS, ReflectionError};
pub use token::cursor_position;
use tonic::service::Routes;
use v1_server::admin_service_server::AdminServiceServer;
use v1_server::feed_service_server::FeedServiceServer;
use v1_server::graph_service_server::GraphServiceServer;
use v1_server::log_service_server::LogServiceServer;
use v1_server::meta_service_server::MetaServiceServer;
use v1_server::notification_service_server::NotificationServiceServer;
use v1_server::post_service_server::PostServiceServer;
pub use web::Web;
pub use whole_request::poll_noting_arrival;

use crate::auth::Auth;
use crate::config::Limits;
use crate::engine::Engine;
use crate::runtime::metrics::Scrape;
use std::fmt;
use std::sync::Arc;

/// What the services need.
#[derive(Debug)]
pub struct ServiceParts {
    /// Executes the calls.
    pub engine: Engine,
    /// Knows callers; `None` if nobody is asked who calls.
    pub auth: Option<Auth>,
    /// Limits how often callers call.
    pub quotas: Quotas,
    /// The limits of requests and streams.
    pub limits: Limits,
    /// Whether reflection is served.
    pub reflection: bool,
    /// Counts how streams end.
    pub metrics: ApiMetrics,
    /// Reads the metrics of the whole server.
    pub scraper: Scraper,
    /// The other nodes of the log, if it is shared.
    pub nodes: Option<Nodes>,
}

/// Reads all metrics of the server, most of which are kept above this module. Cheap to clone.
#[derive(Clone)]
pub struct Scraper(Arc<dyn Fn() -> Scrape + Send + Sync>);

impl Scraper {
    /// Reads them by `scrape`.
    pub fn new(scrape: impl Fn() -> Scrape + Send + Sync + 'static) -> Self {
        Self(Arc::new(scrape))
    }

    fn scrape(&self) -> Scrape {
        (self.0)()
    }
}

impl fmt::Debug for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scraper")
    }
}

/// All services, and the handle that sets their health.
///
/// # Errors
/// The descriptors built into this program are damaged.
pub fn routes(parts: ServiceParts) -> Result<(Routes, Health), ReflectionError> {
    let ServiceParts { engine, auth, quotas, limits, reflection, metrics, scraper, nodes } = parts;
    let (health, health_service) = Health::new();
    let bytes_max = limits.request_bytes_max;
    let epochs = engine.epochs();
    let context = ServiceContext {
        engine,
        auth,
        quotas,
        epochs,
        limits,
        reflection,
        metrics,
        scraper,
        nodes,
    };
    let admin = AdminServiceServer::new(AdminRpcs(context.clone()));
    let feed = FeedServiceServer::new(FeedRpcs(context.clone()));
    let graph = GraphServiceServer::new(GraphRpcs(context.clone()));
    let log = LogServiceServer::new(LogRpcs(context.clone()));
    let meta = MetaServiceServer::new(MetaRpcs(context.clone()));
    let notifications = NotificationServiceServer::new(NotificationRpcs(context.clone()));
    let posts = PostServiceServer::new(PostRpcs(context));

    let mut routes = Routes::builder();
    routes
        .add_service(admin.max_decoding_message_size(bytes_max))
        .add_service(feed.max_decoding_message_size(bytes_max))
        .add_service(graph.max_decoding_message_size(bytes_max))
        .add_service(log.max_decoding_message_size(bytes_max))
        .add_service(meta.max_decoding_message_size(bytes_max))
        .add_service(notifications.max_decoding_message_size(bytes_max))
        .add_service(posts.max_decoding_message_size(bytes_max))
        .add_service(health_service);
    if reflection {
        reflection::add(&mut routes)?;
    }
    Ok((routes.routes(), health))
}
