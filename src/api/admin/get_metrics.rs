//! The GetMetrics RPC. Never counts anything itself.

use std::fmt;

use tonic::Status;

use crate::api::context::ServiceContext;
use crate::api::{status, v1};
use crate::runtime::metrics::{Format, encode};

pub(super) fn handle(
    context: &ServiceContext,
    request: v1::GetMetricsRequest,
) -> Result<v1::GetMetricsResponse, Status> {
    let v1::GetMetricsRequest {} = request;
    let text = encode(context.scraper.scrape(), Format::Prometheus);
    let text = text.map_err(|error: fmt::Error| status::unencodable(&error))?;
    Ok(v1::GetMetricsResponse { text })
}
