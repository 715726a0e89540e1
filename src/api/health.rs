//! `grpc.health.v1`: whether this server takes calls. Never decides that: the server sets it.

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
    admin_service_server, feed_service_server, graph_service_server, log_service_server,
    meta_service_server, notification_service_server, post_service_server,
};

/// The name that stands for the whole server.
const SERVER: &str = "";
/// Every name that has a health status: the whole server, and each of its services.
const NAMES: [&str; 8] = [
    SERVER,
    admin_service_server::SERVICE_NAME,
    feed_service_server::SERVICE_NAME,
    graph_service_server::SERVICE_NAME,
    log_service_server::SERVICE_NAME,
    meta_service_server::SERVICE_NAME,
    notification_service_server::SERVICE_NAME,
    post_service_server::SERVICE_NAME,
];

/// Sets the server's health status.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

/// The library's service, except for unknown service names.
#[derive(Debug)]
pub(super) struct HealthChecks(HealthService);

impl Health {
    /// The status is NOT_SERVING at first.
    pub(super) fn new() -> (Self, HealthServer<HealthChecks>) {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        (Self(reporter), HealthServer::new(HealthChecks(service)))
    }

    /// Sets the status to SERVING.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// Sets the status to NOT_SERVING.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends the streams of Watch, which never end by themselves. Later calls get NOT_SERVING.
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

type HealthStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl HealthRpcs for HealthChecks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        check_name(&request.get_ref().service)?;
        self.0.check(request).await
    }

    type WatchStream = HealthStream;

    /// The stream of an unknown service begins with SERVICE_UNKNOWN and stays open, as the protocol
    /// demands, until the streams of the server end.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthStream>, Status> {
        if check_name(&request.get_ref().service).is_ok() {
            return Ok(self.0.watch(request).await?.map(|stream| Box::pin(stream) as HealthStream));
        }
        let of_server = HealthCheckRequest { service: SERVER.to_owned() };
        let mut server = self.0.watch(Request::new(of_server)).await?.into_inner();
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
