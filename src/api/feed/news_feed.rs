//! The NewsFeed RPC. Never reads the feed itself.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::listing::{Listing, page_fields};
use crate::api::{convert, fields, status, v1, v1_server};
use crate::query::HomeFeed;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::NewsFeedRequest,
) -> Result<v1_server::NewsFeedResponse, Status> {
    let v1::NewsFeedRequest { exclude_self, include_all_replies, .. } = request;
    let options = [fields::flag(exclude_self), fields::flag(include_all_replies)];
    let listing = Listing::open(context, "NewsFeed", &options, page_fields!(request)).await?;

    let (user, items_max, position) = listing.query();
    let query = HomeFeed {
        user,
        items_max,
        position,
        with_own: !exclude_self,
        all_replies: include_all_replies,
    };
    let page = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1_server::NewsFeedResponse {
        items: page.items.iter().map(|item| convert::feed_item(item, &context.epochs)).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}
