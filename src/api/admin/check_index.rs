//! The CheckIndex RPC. Never says that an index is right before all of it is checked.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::Status;

use super::until_end;
use crate::api::caller::StreamEnds;
use crate::api::context::ServiceContext;
use crate::api::{status, v1};
use crate::engine::IndexCheckStep;

/// The steps of a check.
pub(super) type CheckSteps =
    Pin<Box<dyn Stream<Item = Result<v1::CheckIndexResponse, Status>> + Send>>;

/// Checks the index. It ends early with what `ends` says.
pub(super) fn handle(
    context: &ServiceContext,
    request: v1::CheckIndexRequest,
    ends: StreamEnds,
) -> Result<CheckSteps, Status> {
    let v1::CheckIndexRequest {} = request;
    let steps = context.engine.check_index();
    let steps = steps.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(Box::pin(until_end(steps, ends, async |steps| {
        let step = steps.next().await?;
        Some(step.map(message).map_err(|error| status::from_index_check(&error)))
    })))
}

fn message(step: IndexCheckStep) -> v1::CheckIndexResponse {
    let IndexCheckStep { revision, until, rows, is_done } = step;
    let (revision, until_revision) = (revision.get(), until.get());
    v1::CheckIndexResponse { revision, until_revision, rows, is_done }
}
