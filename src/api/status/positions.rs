//! The errors of positions that clients hold: cursors, page tokens and post ids. Never checks one.

use tonic::{Code, Status};

use super::StatusBuilder;
use crate::api::post_id::PostIdError;
use crate::api::token::{self, TokenError, TokenKind};
use crate::api::v1::ErrorReason;
use crate::model::{CursorError, Epochs};

/// A field holds no valid cursor or page token.
pub(in crate::api) fn malformed_token(field: &str, error: &TokenError) -> Status {
    let reason = match error.kind {
        TokenKind::Cursor => ErrorReason::MalformedCursor,
        TokenKind::PageToken => ErrorReason::MalformedPageToken,
    };
    StatusBuilder::new(Code::InvalidArgument, reason, format!("{field} {error}"))
        .violation(field)
        .into_status()
}

/// A page token belongs to another listing.
pub(in crate::api) fn page_token_mismatch(field: &str) -> Status {
    let message = format!(
        "{field} is from a page of another user or with other options: repeat those of the first \
         page, or leave it empty to start again"
    );
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::PageTokenMismatch, message)
        .violation(field)
        .into_status()
}

/// The field `field` names a post of a history of the log that was lost.
pub(in crate::api) fn post_of_lost_history(field: &str, id: &str, error: &PostIdError) -> Status {
    let message = format!("{field} {error}");
    StatusBuilder::new(Code::FailedPrecondition, ErrorReason::HistoryLost, message)
        .violation(field)
        .with("post_id", id)
        .into_status()
}

/// The reason why a cursor cannot be served.
pub(in crate::api) fn cursor_reason(error: &CursorError) -> ErrorReason {
    match error {
        CursorError::OfAnotherLog { .. } => ErrorReason::CursorOfAnotherLog,
        CursorError::HistoryLost { .. } => ErrorReason::HistoryLost,
        CursorError::BeyondHead { .. } => ErrorReason::CursorBeyondHead,
        CursorError::TooOld { .. } => ErrorReason::CursorTooOld,
    }
}

pub(in crate::api) fn from_cursor(error: &CursorError, epochs: &Epochs) -> Status {
    let reason = cursor_reason(error);
    let message = error.to_string();
    let builder = match error {
        CursorError::OfAnotherLog { given, own } => {
            StatusBuilder::new(Code::FailedPrecondition, reason, message)
                .with("cursor_log", given)
                .with("log", own)
        }
        CursorError::HistoryLost { given } => {
            StatusBuilder::new(Code::FailedPrecondition, reason, message)
                .with("cursor_revision", given)
        }
        CursorError::BeyondHead { given, head } => {
            StatusBuilder::new(Code::FailedPrecondition, reason, message)
                .with("cursor_revision", given)
                .with("head_revision", head)
        }
        CursorError::TooOld { oldest } => StatusBuilder::new(Code::OutOfRange, reason, message)
            .with("oldest_cursor", token::encode_cursor(oldest, epochs)),
    };
    builder.into_status()
}
