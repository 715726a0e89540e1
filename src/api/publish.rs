//! The Publish RPC.

use tonic::Status;

use super::{convert, fields, status, token, v1};
use crate::engine::Engine;
use crate::model::{PostText, RequestId};

pub(super) async fn handle(
    engine: &Engine,
    request: v1::PublishRequest,
) -> Result<v1::PublishResponse, Status> {
    let author = fields::user_id("author_id", &request.author_id)?;
    let text = PostText::parse(&request.text)
        .map_err(|error| status::invalid_field("text", error, error.parts()))?;
    let request_id = (!request.request_id.is_empty())
        .then(|| RequestId::parse(&request.request_id))
        .transpose()
        .map_err(|error| status::invalid_field("request_id", error, error.parts()))?;

    let published = engine.publish(author, text, request_id).await.map_err(status::of_engine)?;
    Ok(v1::PublishResponse {
        post: Some(convert::post(&published.post)),
        deduplicated: published.deduplicated,
        cursor: token::encode_cursor(&published.cursor),
    })
}
