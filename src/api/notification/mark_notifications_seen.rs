//! The MarkNotificationsSeen RPC. Never lists notifications.

use tonic::Status;

use crate::api::calls::Calls;
use crate::api::changes::ChangeResponse;
use crate::api::{fields, status, v1};

pub(super) async fn handle(
    calls: &Calls,
    request: v1::MarkNotificationsSeenRequest,
) -> Result<v1::MarkNotificationsSeenResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let until = fields::optional_cursor("until_cursor", &request.until_cursor)?;
    let seen = calls.engine.mark_seen(user, until).await.map_err(status::of_engine)?;
    Ok(ChangeResponse::from(seen).into())
}
