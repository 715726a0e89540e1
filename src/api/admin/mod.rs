//! The admin service: the log as it is stored, for backups, checks, and metrics. Never says what an event means.

mod check_index;
mod get_metrics;
mod list_segments;
mod read_segment;
mod segment_id;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::caller::{CallerEnd, StreamEnds};
use super::context::ServiceContext;
use super::v1_server::admin_service_server::AdminService;
use super::{caller, status, v1};
use crate::auth::EndCause;

#[derive(Debug)]
pub(super) struct AdminRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl AdminService for AdminRpcs {
    async fn list_segments(
        &self,
        request: Request<v1::ListSegmentsRequest>,
    ) -> Result<Response<v1::ListSegmentsResponse>, Status> {
        Ok(Response::new(list_segments::handle(&self.0, caller::open(&self.0, request).await?)))
    }

    type ReadSegmentStream = read_segment::SegmentData;

    async fn read_segment(
        &self,
        request: Request<v1::ReadSegmentRequest>,
    ) -> Result<Response<Self::ReadSegmentStream>, Status> {
        let (request, ends) = caller::open_stream(&self.0, request).await?;
        Ok(Response::new(read_segment::handle(&self.0, &request, ends)?))
    }

    async fn get_metrics(
        &self,
        request: Request<v1::GetMetricsRequest>,
    ) -> Result<Response<v1::GetMetricsResponse>, Status> {
        get_metrics::handle(&self.0, caller::open(&self.0, request).await?).map(Response::new)
    }

    type CheckIndexStream = check_index::CheckSteps;

    async fn check_index(
        &self,
        request: Request<v1::CheckIndexRequest>,
    ) -> Result<Response<Self::CheckIndexStream>, Status> {
        let (request, ends) = caller::open_stream(&self.0, request).await?;
        Ok(Response::new(check_index::handle(&self.0, request, ends)?))
    }
}

/// The messages that `next` takes from `source`, up to the first error. It ends early when the connection
/// retires or the caller ends.
fn until_end<S, M>(
    mut source: S,
    ends: StreamEnds,
    next: impl AsyncFn(&mut S) -> Option<Result<M, Status>>,
) -> impl Stream<Item = Result<M, Status>> {
    let StreamEnds { closer, mut caller } = ends;
    let retirement = closer.map(|closer| closer.retirement().clone()).unwrap_or_default();
    async_stream::stream! {
        loop {
            let message = tokio::select! {
                biased;
                cause = ended(&mut caller) => Some(Err(status::from_end(cause))),
                () = retirement.cancelled() => Some(Err(status::draining())),
                message = next(&mut source) => message,
            };
            match message {
                None => return,
                Some(Ok(message)) => yield Ok(message),
                Some(Err(status)) => {
                    yield Err(status);
                    return;
                }
            }
        }
    }
}

/// Why the caller ends, once it does.
async fn ended(caller: &mut Option<CallerEnd>) -> EndCause {
    let Some(caller) = caller else { return std::future::pending().await };
    if caller.cause().is_none() {
        std::future::poll_fn(|cx| caller.poll(cx)).await;
    }
    // Ended without a cause would be a stream that never ends.
    caller.cause().unwrap_or(EndCause::Revoked)
}
