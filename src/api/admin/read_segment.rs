//! The ReadSegment RPC. Never sends a byte that is not checked.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::Status;

use super::{segment_id, until_end};
use crate::api::caller::StreamEnds;
use crate::api::context::ServiceContext;
use crate::api::{status, v1};

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
    Ok(Box::pin(until_end(pieces, ends, async |pieces| {
        let piece = pieces.next().await?;
        let message = |data: bytes::Bytes| v1::ReadSegmentResponse { data: data.into() };
        Some(piece.map(message).map_err(|error| status::from_segment(&error)))
    })))
}
