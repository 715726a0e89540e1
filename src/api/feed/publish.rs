//! The Publish RPC.

use tonic::Status;

use crate::api::calls::Calls;
use crate::api::{convert, fields, status, token, v1};
use crate::engine::Draft;
use crate::model::bounds::{ATTACHMENTS_MAX, LANGS_MAX};
use crate::model::{Attachment, Lang, PostText, RequestId};

pub(super) async fn handle(
    calls: &Calls,
    request: v1::PublishRequest,
) -> Result<v1::PublishResponse, Status> {
    let author = fields::user_id("author_id", &request.author_id)?;
    let request_id = (!request.request_id.is_empty())
        .then(|| RequestId::parse(&request.request_id))
        .transpose()
        .map_err(|error| status::invalid_field("request_id", error, error.parts()))?;
    let draft = Draft {
        text: text(&request)?,
        reply_to: fields::optional_post_id("reply_to_post_id", &request.reply_to_post_id)?,
        quote: fields::optional_post_id("quote_post_id", &request.quote_post_id)?,
        attachments: attachments(&request.attachments)?,
        langs: langs(&request.langs)?,
    };

    let published = calls.engine.publish(author, draft, request_id).await;
    let published = published.map_err(status::of_engine)?;
    Ok(v1::PublishResponse {
        post: Some(convert::post(&published.post)),
        deduplicated: published.deduplicated,
        cursor: token::encode_cursor(&published.cursor),
    })
}

fn text(request: &v1::PublishRequest) -> Result<PostText, Status> {
    if request.text.is_empty() && !request.attachments.is_empty() {
        return Ok(PostText::none());
    }
    PostText::parse(&request.text)
        .map_err(|error| status::invalid_field("text", error, error.parts()))
}

fn attachments(attachments: &[v1::Attachment]) -> Result<Box<[Attachment]>, Status> {
    fields::at_most("attachments", attachments.len(), ATTACHMENTS_MAX)?;
    let parse = |(at, attachment): (usize, &v1::Attachment)| {
        let v1::Attachment { uri, media_type, alt } = attachment;
        Attachment::parse(uri, media_type, alt).map_err(|error| {
            let field = format!("attachments[{at}].{}", error.field);
            status::invalid_field(&field, error.rule, error.parts())
        })
    };
    attachments.iter().enumerate().map(parse).collect()
}

fn langs(langs: &[String]) -> Result<Box<[Lang]>, Status> {
    fields::at_most("langs", langs.len(), LANGS_MAX)?;
    let parse = |(at, lang): (usize, &String)| {
        Lang::parse(lang)
            .map_err(|error| status::invalid_field(&format!("langs[{at}]"), error, Vec::new()))
    };
    langs.iter().enumerate().map(parse).collect()
}
