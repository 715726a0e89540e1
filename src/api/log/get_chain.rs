//! The GetChain RPC. Never computes a chain itself.

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{status, v1};
use crate::model::Revision;
use crate::query::GetChain;

pub(super) async fn handle(
    context: &ServiceContext,
    request: v1::GetChainRequest,
) -> Result<v1::GetChainResponse, Status> {
    let query = GetChain { revision: Revision::new(request.revision) };
    let answer = context.engine.ask(query).await;
    let answer = answer.map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(v1::GetChainResponse {
        log_id: answer.log.to_string(),
        revision: answer.revision.get(),
        chain: answer.chain.to_string(),
    })
}
