//! The errors of reading segments for a backup. They name files: only operators read segments.

use tonic::{Code, Status};

use super::StatusBuilder;
use crate::api::v1::ErrorReason;
use crate::engine::SegmentError;
use crate::storage;

/// A segment cannot be read to its end.
pub(in crate::api) fn from_segment(error: &SegmentError) -> Status {
    let message = error.to_string();
    let (code, reason) = match error {
        SegmentError::Replaced => (Code::Aborted, ErrorReason::SegmentReplaced),
        SegmentError::Log(storage::Error::Damaged { .. }) => {
            (Code::DataLoss, ErrorReason::LogDamaged)
        }
        SegmentError::Log(_) => (Code::Internal, ErrorReason::Internal),
    };
    if reason != ErrorReason::SegmentReplaced {
        tracing::error!(%error, "a segment cannot be read for a backup");
    }
    StatusBuilder::new(code, reason, message).into_status()
}
