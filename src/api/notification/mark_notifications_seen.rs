//! The MarkNotificationsSeen RPC. Never lists notifications.

use tonic::Status;

use crate::api::changes::ChangeResponse;
use crate::api::context::{Repeat, ServiceContext};
use crate::api::{fields, status, v1};
use crate::auth::Caller;

pub(super) async fn handle(
    context: &ServiceContext,
    (caller, request): (Caller, v1::MarkNotificationsSeenRequest),
) -> Result<v1::MarkNotificationsSeenResponse, Status> {
    if let Some(answer) = context.forward(&caller, &request, Repeat::Unsafe).await? {
        return Ok(answer);
    }
    let user = fields::user_id("user_id", &request.user_id)?;
    let until = fields::optional_cursor("until_cursor", &request.until_cursor, context)?;
    let seen = context
        .engine
        .mark_seen(user, until)
        .await
        .map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(ChangeResponse::new(seen, &context.epochs).into())
}
