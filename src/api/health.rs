//! `grpc.health.v1`: whether this server takes calls.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus as WireStatus;
use tonic_health::pb::health_server::{Health as HealthRpcs, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use super::status;
use super::v1_server::{
    feed_service_server, graph_service_server, notification_service_server, post_service_server,
};

/// The name of the server as a whole.
const WHOLE: &str = "";
/// Every name that health is told for: the server as a whole, and its services.
const NAMES: [&str; 5] = [
    WHOLE,
    feed_service_server::SERVICE_NAME,
    graph_service_server::SERVICE_NAME,
    notification_service_server::SERVICE_NAME,
    post_service_server::SERVICE_NAME,
];

/// Tells the server's health.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

/// The library's service, but for what is asked of a service that is not here.
#[derive(Debug)]
pub(super) struct Checks(HealthService);

impl Health {
    /// Not serving yet.
    pub(super) fn new() -> (Self, HealthServer<Checks>) {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        (Self(reporter), HealthServer::new(Checks(service)))
    }

    /// From now on calls are taken.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// From now on none are.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends the streams of those who watch the health, which never end by themselves. Who asks
    /// after that is told that the server does not serve.
    pub async fn end_watches(&mut self) {
        for name in NAMES {
            self.0.clear_service_status(name).await;
        }
        self.not_serving().await;
    }

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }
}

type Watched = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl HealthRpcs for Checks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.get_ref().service)?;
        self.0.check(request).await
    }

    type WatchStream = Watched;

    /// Who watches a service that is not here is told so and kept, as the protocol has it, for as
    /// long as the server is watched.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Watched>, Status> {
        if check_name(&request.get_ref().service).is_ok() {
            return Ok(self.0.watch(request).await?.map(|stream| Box::pin(stream) as Watched));
        }
        let whole = HealthCheckRequest { service: WHOLE.to_owned() };
        let mut server = self.0.watch(Request::new(whole)).await?.into_inner();
        let unknown = async_stream::stream! {
            yield Ok(HealthCheckResponse { status: WireStatus::ServiceUnknown.into() });
            while server.next().await.is_some() {}
        };
        Ok(Response::new(Box::pin(unknown)))
    }
}

fn check_name(service: &str) -> Result<(), Status> {
    if NAMES.contains(&service) { Ok(()) } else { Err(status::service_not_found(service)) }
}
