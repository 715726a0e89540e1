//! The Unfollow RPC.

use tonic::Status;

use super::{fields, status, token, v1};
use crate::engine::Engine;

pub(super) async fn handle(
    engine: &Engine,
    request: v1::UnfollowRequest,
) -> Result<v1::UnfollowResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let followee = fields::user_id("followee_id", &request.followee_id)?;
    let edge = engine.unfollow(user, followee).await.map_err(status::of_engine)?;
    Ok(v1::UnfollowResponse {
        changed: edge.changed,
        revision: edge.revision.get(),
        cursor: token::encode_cursor(&edge.cursor),
    })
}
