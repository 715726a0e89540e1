//! The GetThread RPC.

use tonic::Status;

use crate::api::calls::Calls;
use crate::api::{convert, fields, status, v1};
use crate::engine::ThreadQuery;

pub(super) async fn handle(
    calls: &Calls,
    request: v1::GetThreadRequest,
) -> Result<v1::GetThreadResponse, Status> {
    let v1::GetThreadRequest { user_id, post_id, depth_max, replies_max, at_least_cursor } =
        request;
    let viewer = fields::user_id("user_id", &user_id)?;
    let post = fields::post_id("post_id", &post_id)?;
    let limits = &calls.limits;
    let depth_max = fields::items_max(
        "depth_max",
        depth_max,
        limits.thread_depth_default,
        limits.thread_depth_max,
    )?;
    let replies_max = fields::items_max(
        "replies_max",
        replies_max,
        limits.thread_replies_default,
        limits.thread_replies_max,
    )?;
    let cursor = calls.reached("at_least_cursor", &at_least_cursor).await?;

    let query = ThreadQuery { viewer, post, depth_max, replies_max };
    let thread = calls.engine.thread(query).await.map_err(status::of_engine)?;
    Ok(v1::GetThreadResponse {
        ancestors: thread.ancestors.iter().map(convert::thread_post).collect(),
        post: Some(convert::thread_post(&thread.post)),
        replies: thread.replies.iter().map(convert::thread_post).collect(),
        cursor,
    })
}
