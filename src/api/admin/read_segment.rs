//! The ReadSegment RPC. Never sends a byte that is not checked.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::Status;

use super::segment_id;
use crate::api::caller::{CallerEnd, StreamEnds};
use crate::api::context::ServiceContext;
use crate::api::{status, v1};
use crate::auth::EndCause;
use crate::engine::SegmentPieces;

/// The bytes of a segment.
pub(super) type SegmentData =
    Pin<Box<dyn Stream<Item = Result<v1::ReadSegmentResponse, Status>> + Send>>;

/// Reads the segment. It ends early with what `ends` says.
pub(super) fn handle(
    context: &ServiceContext,
    request: &v1::ReadSegmentRequest,
    ends: StreamEnds,
) -> Result<SegmentData, Status> {
    let segment = segment_id::parse(&request.segment_id).ok_or_else(|| {
        status::invalid_field("segment_id", "is no segment_id of ListSegments", Vec::new())
    })?;
    let pieces = context.engine.read_segment(segment);
    let pieces = pieces.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(Box::pin(data(pieces, ends)))
}

fn data(
    mut pieces: SegmentPieces,
    ends: StreamEnds,
) -> impl Stream<Item = Result<v1::ReadSegmentResponse, Status>> {
    let StreamEnds { closer, mut caller } = ends;
    let retirement = closer.map(|closer| closer.retirement().clone()).unwrap_or_default();
    async_stream::stream! {
        loop {
            let piece = tokio::select! {
                biased;
                cause = ended(&mut caller) => Some(Err(status::from_end(cause))),
                () = retirement.cancelled() => Some(Err(status::draining())),
                piece = pieces.next() => {
                    piece.map(|piece| piece.map_err(|error| status::from_segment(&error)))
                }
            };
            match piece {
                None => return,
                Some(Ok(data)) => yield Ok(v1::ReadSegmentResponse { data: data.into() }),
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
