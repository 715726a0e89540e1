//! The meta service: what the server is, and what its caller may ask of it. Never reads the state.

mod get_cluster;
mod get_latest_cursor;
mod get_server_info;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::v1_server::meta_service_server::MetaService;
use super::{Peer, caller, network, v1};

#[derive(Debug)]
pub(super) struct MetaRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl MetaService for MetaRpcs {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        let address = request.extensions().get::<Peer>().map(|peer| network(peer.address));
        let (caller, request) = caller::open_as(&self.0, request).await?;
        let quotas = self.0.quotas.of(&caller, address);
        Ok(Response::new(get_server_info::handle(&self.0, &caller, quotas, request)))
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetClusterRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        Ok(Response::new(get_cluster::handle(&self.0, request)))
    }

    async fn get_latest_cursor(
        &self,
        request: Request<v1::GetLatestCursorRequest>,
    ) -> Result<Response<v1::GetLatestCursorResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        get_latest_cursor::handle(&self.0, request).await.map(Response::new)
    }
}
