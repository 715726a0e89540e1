//! The GetRelationships RPC. Never changes a relation.

use tonic::Status;

use crate::api::calls::Calls;
use crate::api::{convert, fields, v1};

pub(super) async fn handle(
    calls: &Calls,
    request: v1::GetRelationshipsRequest,
) -> Result<v1::GetRelationshipsResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let others = fields::each_once("other_ids", &request.other_ids, fields::user_id)?;
    let cursor = calls.reached("at_least_cursor", &request.at_least_cursor).await?;
    let relationships = calls.engine.relationships(&user, &others);
    Ok(v1::GetRelationshipsResponse {
        relationships: relationships.iter().map(convert::relationship).collect(),
        cursor,
    })
}
