//! The ListNotifications RPC.

use tonic::Status;

use crate::api::calls::Calls;
use crate::api::listing::{Listing, asked};
use crate::api::{convert, status, v1};

pub(super) async fn handle(
    calls: &Calls,
    request: v1::ListNotificationsRequest,
) -> Result<v1::ListNotificationsResponse, Status> {
    let listing = Listing::open(calls, "ListNotifications", &[], asked!(request)).await?;
    let (user, items_max, place) = listing.query();
    let listed = calls.engine.notifications(user, items_max, place).await;
    let listed = listed.map_err(status::of_engine)?;
    Ok(v1::ListNotificationsResponse {
        notifications: listed.page.items.iter().map(convert::notification).collect(),
        next_page_token: listing.next_page_token(listed.page.next),
        cursor: listing.cursor(listed.page.at),
        // Counted up to a limit that is far below the type's.
        unseen_count: i32::try_from(listed.unseen).unwrap_or(i32::MAX),
        seen_until_revision: listed.seen_until.get(),
    })
}
