//! The log service: values to compare two copies of the log. Never returns an event.

mod get_chain;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::v1_server::log_service_server::LogService;
use super::{caller, v1};

#[derive(Debug)]
pub(super) struct LogRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl LogService for LogRpcs {
    async fn get_chain(
        &self,
        request: Request<v1::GetChainRequest>,
    ) -> Result<Response<v1::GetChainResponse>, Status> {
        Ok(Response::new(get_chain::handle(&self.0, caller::open(&self.0, request).await?).await?))
    }
}
