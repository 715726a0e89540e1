//! The admin service: the log as it is stored, for backups. Never says what an event means.

mod list_segments;
mod read_segment;
mod segment_id;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::v1_server::admin_service_server::AdminService;
use super::{caller, v1};

#[derive(Debug)]
pub(super) struct AdminRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl AdminService for AdminRpcs {
    async fn list_segments(
        &self,
        request: Request<v1::ListSegmentsRequest>,
    ) -> Result<Response<v1::ListSegmentsResponse>, Status> {
        Ok(Response::new(list_segments::handle(&self.0, caller::open(request)?)))
    }

    type ReadSegmentStream = read_segment::SegmentData;

    async fn read_segment(
        &self,
        request: Request<v1::ReadSegmentRequest>,
    ) -> Result<Response<Self::ReadSegmentStream>, Status> {
        let (request, ends) = caller::open_stream(request, self.0.auth.as_ref())?;
        Ok(Response::new(read_segment::handle(&self.0, &request, ends)?))
    }
}
