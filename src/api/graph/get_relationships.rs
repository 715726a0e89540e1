//! The GetRelationships RPC. Never changes a relation.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{convert, fields, status, v1};
use crate::query::GetRelationships;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetRelationshipsRequest,
) -> Result<v1::GetRelationshipsResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let others = fields::each_once("other_ids", &request.other_ids, fields::user_id)?;
    let cursor = context.reached("at_least_cursor", &request.at_least_cursor).await?;
    let query = GetRelationships { user, others };
    let relationships = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1::GetRelationshipsResponse {
        relationships: relationships.iter().map(convert::relationship).collect(),
        cursor,
    })
}
