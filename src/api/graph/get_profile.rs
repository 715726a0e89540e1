//! The GetProfile RPC. Never counts anything itself.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{convert, fields, status, v1};
use crate::query::GetProfile;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetProfileRequest,
) -> Result<v1::GetProfileResponse, Status> {
    let viewer = fields::user_id("user_id", &request.user_id)?;
    let user = fields::user_id("of_user_id", &request.of_user_id)?;
    let cursor = context.reached("at_least_cursor", &request.at_least_cursor).await?;
    let profile = context
        .engine
        .ask(GetProfile { viewer, user })
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1::GetProfileResponse { profile: Some(convert::profile(&profile)), cursor })
}
