//! `grpc.health.v1`: whether this server takes calls.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::v1_server::{
    feed_service_server, graph_service_server, notification_service_server, post_service_server,
};

/// Every name that health is told for: the server as a whole, and its services.
const NAMES: [&str; 5] = [
    "",
    feed_service_server::SERVICE_NAME,
    graph_service_server::SERVICE_NAME,
    notification_service_server::SERVICE_NAME,
    post_service_server::SERVICE_NAME,
];

/// Tells the server's health.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Not serving yet.
    pub(super) fn new() -> (Self, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        (Self(reporter), HealthServer::new(service))
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
