//! The ListPosts RPC. Never decides which posts are visible.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::listing::{Listing, page_fields};
use crate::api::{convert, fields, status, v1, v1_server};
use crate::query::AuthorFeed;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::ListPostsRequest,
) -> Result<v1_server::ListPostsResponse, Status> {
    let author = fields::user_id("author_id", &request.author_id)?;
    let v1::ListPostsRequest { include_replies, include_reposts, .. } = request;
    let flags = [include_replies, include_reposts].map(fields::flag);
    let options = [author.as_str(), flags[0], flags[1]];
    let listing = Listing::open(context, "ListPosts", &options, page_fields!(request)).await?;

    let (viewer, items_max, position) = listing.query();
    let query = AuthorFeed {
        viewer,
        author,
        items_max,
        position,
        with_replies: include_replies,
        with_reposts: include_reposts,
    };
    let page = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1_server::ListPostsResponse {
        items: page.items.iter().map(|item| convert::feed_item(item, &context.epochs)).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}
