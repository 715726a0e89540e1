//! The GetThread RPC. Never decides which posts are visible.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::listing::{Listing, PageFields};
use crate::api::{convert, fields, status, v1, v1_server};
use crate::query::{GetThread, PagePosition, ThreadPost};

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetThreadRequest,
) -> Result<v1_server::GetThreadResponse, Status> {
    let v1::GetThreadRequest { user_id, post_id, depth_max, replies_max, .. } = &request;
    let viewer = fields::user_id("user_id", user_id)?;
    let post = fields::post_id("post_id", post_id, &context.epochs)?;
    let limits = &context.limits;
    let depth_max = fields::items_max(
        "depth_max",
        *depth_max,
        limits.thread_depth_default,
        limits.thread_depth_max,
    )?;
    let replies_max = fields::items_max(
        "replies_max",
        *replies_max,
        limits.thread_replies_default,
        limits.thread_replies_max,
    )?;
    let page = PageFields {
        user_id,
        page_size: 0,
        page_token: &request.page_token,
        at_least_cursor: &request.at_least_cursor,
    };
    let listing = Listing::open(context, "GetThread", &[post_id], page).await?;
    let at = context.engine.cursor().after;

    let (_, _, position) = listing.query();
    let query = GetThread { viewer, post, position, depth_max, replies_max };
    let thread = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    let next = thread.next_after.map(|after| PagePosition { before: after.revision(), at });
    let thread_post = |post: &ThreadPost| convert::thread_post(post, &context.epochs);
    Ok(v1_server::GetThreadResponse {
        ancestors: thread.ancestors.iter().map(thread_post).collect(),
        post: Some(thread_post(&thread.post)),
        replies: thread.replies.iter().map(thread_post).collect(),
        cursor: listing.cursor(at),
        next_page_token: listing.next_page_token(next),
    })
}
