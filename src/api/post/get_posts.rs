//! The GetPosts RPC. Never decides which posts are visible.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{convert, fields, status, v1, v1_server};
use crate::query::GetPosts;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetPostsRequest,
) -> Result<v1_server::GetPostsResponse, Status> {
    let viewer = fields::user_id("user_id", &request.user_id)?;
    let ids = fields::each_once("post_ids", &request.post_ids, |field, text| {
        fields::post_id(field, text, &context.epochs)
    })?;
    let cursor = context.reached("at_least_cursor", &request.at_least_cursor).await?;
    let posts = context
        .engine
        .ask(GetPosts { viewer, ids })
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1_server::GetPostsResponse {
        posts: posts.iter().map(|post| convert::post_view(post, &context.epochs)).collect(),
        cursor,
    })
}
