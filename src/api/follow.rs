//! The Follow RPC.

use tonic::Status;

use super::{fields, status, token, v1};
use crate::engine::Engine;

pub(super) async fn handle(
    engine: &Engine,
    request: v1::FollowRequest,
) -> Result<v1::FollowResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let followee = fields::user_id("followee_id", &request.followee_id)?;
    let edge = engine.follow(user, followee).await.map_err(status::of_engine)?;
    Ok(v1::FollowResponse {
        changed: edge.changed,
        revision: edge.revision.get(),
        cursor: token::encode_cursor(&edge.cursor),
    })
}
