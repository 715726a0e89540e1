//! The DeletePost RPC. Never erases content.

use tonic::Status;

use crate::api::changes::ChangeResponse;
use crate::api::context::{Repeat, ServiceContext};
use crate::api::{fields, status, v1};
use crate::auth::Caller;

pub(super) async fn handle(
    context: &ServiceContext,
    (caller, request): (Caller, v1::DeletePostRequest),
) -> Result<v1::DeletePostResponse, Status> {
    if let Some(answer) = context.forward(&caller, &request, Repeat::Unsafe).await? {
        return Ok(answer);
    }
    let author = fields::user_id("user_id", &request.user_id)?;
    let post = fields::post_id("post_id", &request.post_id, &context.epochs)?;
    let deleted = context
        .engine
        .delete(author, post)
        .await
        .map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(ChangeResponse::new(deleted, &context.epochs).into())
}
