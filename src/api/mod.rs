//! The gRPC services: parse what comes, call the engine, say what it answered.
//!
//! Apart from the server and the client that stand on it, this is the only place that knows tonic
//! or the generated types. One RPC is one file. Nothing here decides anything about feeds.

pub mod admission;
pub mod codec;
mod convert;
mod deadline;
mod fields;
mod follow;
pub mod frame;
mod health;
mod news_feed;
mod publish;
mod reflection;
pub mod stall;
mod status;
mod token;
mod unfollow;
mod watch_feed;

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
pub use health::Health;
pub use reflection::ReflectionError;
use stall::Guarded;
pub use stall::{Closer, StallWatch};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use v1_server::feed_service_server::{FeedService, FeedServiceServer};

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
    let request_bytes_max = limits.request_bytes_max;
    let feed = FeedServiceServer::new(Feed { engine, limits, stall_watch })
        .max_decoding_message_size(request_bytes_max);

    let mut routes = Routes::builder();
    routes.add_service(feed).add_service(health_service);
    if reflection {
        reflection::add(&mut routes)?;
    }
    Ok((routes.routes(), health))
}

/// The feed service.
#[derive(Debug)]
struct Feed {
    engine: Engine,
    limits: Limits,
    stall_watch: StallWatch,
}

#[tonic::async_trait]
impl FeedService for Feed {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        Ok(Response::new(follow::handle(&self.engine, request.into_inner()).await?))
    }

    async fn unfollow(
        &self,
        request: Request<v1::UnfollowRequest>,
    ) -> Result<Response<v1::UnfollowResponse>, Status> {
        Ok(Response::new(unfollow::handle(&self.engine, request.into_inner()).await?))
    }

    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        Ok(Response::new(publish::handle(&self.engine, request.into_inner()).await?))
    }

    async fn news_feed(
        &self,
        request: Request<v1::NewsFeedRequest>,
    ) -> Result<Response<v1::NewsFeedResponse>, Status> {
        let page = news_feed::handle(&self.engine, &self.limits, request.into_inner()).await?;
        Ok(Response::new(page))
    }

    type WatchFeedStream = Guarded<watch_feed::Messages>;

    async fn watch_feed(
        &self,
        request: Request<v1::WatchFeedRequest>,
    ) -> Result<Response<Self::WatchFeedStream>, Status> {
        let closer = request.extensions().get::<Closer>().cloned();
        let retirement = closer.as_ref().map(|closer| closer.retirement().clone());
        let request = request.into_inner();
        let stream = watch_feed::handle(&self.engine, &self.limits, request, retirement)?;
        Ok(Response::new(self.stall_watch.guard(stream, closer)))
    }
}
