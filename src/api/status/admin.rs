//! The errors of what operators ask for: segments, and checks of the index. They name files, which only
//! operators see.

use tonic::{Code, Status};

use super::StatusBuilder;
use crate::api::v1::ErrorReason;
use crate::engine::{IndexCheckError, SegmentError};
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

/// A check of the index found a row that is not right, or cannot be made.
pub(in crate::api) fn from_index_check(error: &IndexCheckError) -> Status {
    let (code, reason) = match error {
        IndexCheckError::Damaged(_) => (Code::DataLoss, ErrorReason::IndexDamaged),
        IndexCheckError::Unreadable(storage::Error::Damaged { .. }) => {
            (Code::DataLoss, ErrorReason::LogDamaged)
        }
        IndexCheckError::Unreadable(storage::Error::IndexLost { .. }) => {
            (Code::Unavailable, ErrorReason::IndexLost)
        }
        IndexCheckError::Unreadable(storage::Error::DiskFull { .. }) => {
            (Code::ResourceExhausted, ErrorReason::DiskFull)
        }
        IndexCheckError::Unreadable(_) => (Code::Internal, ErrorReason::Internal),
    };
    tracing::error!(%error, "a check of the index did not come to its end");
    StatusBuilder::new(code, reason, error.to_string()).into_status()
}
