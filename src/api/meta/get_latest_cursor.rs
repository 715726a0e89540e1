//! The GetLatestCursor RPC. Never reads what the cursor is for.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{status, token, v1};

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetLatestCursorRequest,
) -> Result<v1::GetLatestCursorResponse, Status> {
    let v1::GetLatestCursorRequest {} = request;
    let latest = context.engine.latest().await;
    let cursor = latest.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(v1::GetLatestCursorResponse { cursor: token::encode_cursor(&cursor, &context.epochs) })
}
