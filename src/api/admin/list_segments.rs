//! The ListSegments RPC. Never reads a file.

use super::segment_id;
use crate::api::context::ServiceContext;
use crate::api::v1;
use crate::storage::SegmentInfo;

pub(super) fn handle(
    context: &ServiceContext,
    request: v1::ListSegmentsRequest,
) -> v1::ListSegmentsResponse {
    let v1::ListSegmentsRequest {} = request;
    let segments = context.engine.segments();
    let Some(last) = segments.last() else {
        unreachable!("a log has a segment from its first opening")
    };
    v1::ListSegmentsResponse {
        log_id: context.engine.cursor().log.to_string(),
        revision: last.last.get(),
        chain: last.chain.to_string(),
        segments: segments.iter().map(message).collect(),
    }
}

fn message(segment: &SegmentInfo) -> v1::LogSegment {
    v1::LogSegment {
        segment_id: segment_id::encode(segment),
        number: segment.number,
        first_revision: segment.first.get(),
        last_revision: segment.last.get(),
        bytes: segment.bytes,
        chain: segment.chain.to_string(),
    }
}
