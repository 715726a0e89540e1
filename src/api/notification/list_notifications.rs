//! The ListNotifications RPC. Never marks notifications as seen.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::listing::{Listing, page_fields};
use crate::api::{convert, status, v1, v1_server};
use crate::query::ListNotifications;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::ListNotificationsRequest,
) -> Result<v1_server::ListNotificationsResponse, Status> {
    let listing = Listing::open(context, "ListNotifications", &[], page_fields!(request)).await?;
    let (user, items_max, position) = listing.query();
    let query = ListNotifications { user, items_max, position };
    let listed = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1_server::ListNotificationsResponse {
        notifications: listed
            .page
            .items
            .iter()
            .map(|item| convert::notification(item, &context.epochs))
            .collect(),
        next_page_token: listing.next_page_token(listed.page.next),
        cursor: listing.cursor(listed.page.at),
        // The count ends at a limit far below `i32::MAX`.
        unseen_count: i32::try_from(listed.unseen).unwrap_or(i32::MAX),
        seen_until_revision: listed.seen_until.get(),
    })
}
