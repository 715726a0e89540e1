//! The Publish RPC: validates the fields of a post. Never searches its text for facets.

use std::fmt::Display;

use tonic::Status;

use crate::api::context::{Repeat, ServiceContext};
use crate::api::encoded_post::EncodedPost;
use crate::api::{fields, status, token, v1, v1_server};
use crate::auth::Caller;
use crate::engine::Draft;
use crate::model::bounds::{ATTACHMENTS_MAX, FACETS_MAX, LANGS_MAX};
use crate::model::{
    Attachment, Facet, Facets, FacetsError, Feature, Lang, Link, PostText, RequestId, Tag,
};

pub(super) async fn handle(
    context: &ServiceContext,
    caller: &Caller,
    request: v1::PublishRequest,
) -> Result<v1_server::PublishResponse, Status> {
    let author = fields::user_id("user_id", &request.user_id)?;
    let request_id = (!request.request_id.is_empty())
        .then(|| RequestId::parse(&request.request_id))
        .transpose()
        .map_err(|error| status::invalid_field("request_id", error, error.parts()))?;
    let text = text(&request)?;
    let epochs = &context.epochs;
    let draft = Draft {
        facets: facets(&request, &text)?,
        text,
        reply_to: fields::optional_post_id("reply_to_post_id", &request.reply_to_post_id, epochs)?,
        quote: fields::optional_post_id("quote_post_id", &request.quote_post_id, epochs)?,
        attachments: attachments(&request.attachments)?,
        langs: langs(&request.langs)?,
    };

    context.quotas.mention(caller, || mentions(&draft))?;
    // With a request id it is the same post, whichever node makes it.
    let repeat = if request_id.is_some() { Repeat::Safe } else { Repeat::Unsafe };
    if let Some(answer) = context.forward(caller, &request, repeat).await? {
        return Ok(answer);
    }
    let published = context.engine.publish(author, draft, request_id).await;
    let published = published.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(v1_server::PublishResponse {
        post: Some(EncodedPost::new(&published.post, epochs)),
        deduplicated: published.deduplicated,
        cursor: token::encode_cursor(&published.cursor, epochs),
    })
}

/// How many users a post names at most: whether they exist is not known here.
fn mentions(draft: &Draft) -> u32 {
    let is_mention = |facet: &&Facet| matches!(facet.feature, Feature::Mention(_));
    let count = |facets: &Facets| facets.all().iter().filter(is_mention).count() as u32;
    match &draft.facets {
        Some(facets) => count(facets),
        None => count(&Facets::scan(&draft.text, |_| true)),
    }
}

fn text(request: &v1::PublishRequest) -> Result<PostText, Status> {
    if request.text.is_empty() && !request.attachments.is_empty() {
        return Ok(PostText::empty());
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
    let mut parsed = Vec::with_capacity(langs.len());
    for (at, lang) in langs.iter().enumerate() {
        let invalid =
            |rule: &dyn Display| status::invalid_field(&format!("langs[{at}]"), rule, Vec::new());
        let lang = Lang::parse(lang).map_err(|error| invalid(&error))?;
        if parsed.contains(&lang) {
            return Err(invalid(&"must not name a language that is named before it"));
        }
        parsed.push(lang);
    }
    Ok(parsed.into())
}

/// The facets in the request; `None` to have them detected in the text.
fn facets(request: &v1::PublishRequest, text: &PostText) -> Result<Option<Facets>, Status> {
    if request.facets.is_empty() && !request.plain_text {
        return Ok(None);
    }
    fields::at_most("facets", request.facets.len(), FACETS_MAX)?;
    let all = request.facets.iter().enumerate().map(|(at, message)| facet(at, message));
    let all = all.collect::<Result<_, _>>()?;
    Facets::from_author(text, all).map(Some).map_err(|error| match error {
        FacetsError::BadRange { at, field, rule } => {
            status::invalid_field(&format!("facets[{at}].{field}"), rule, rule.parts())
        }
        FacetsError::TooManyBytes { bytes } => {
            status::invalid_field("facets", error, vec![("bytes", bytes.to_string())])
        }
    })
}

fn facet(at: usize, message: &v1::Facet) -> Result<Facet, Status> {
    use v1::facet::Feature as WireFeature;

    let path = |field| format!("facets[{at}].{field}");
    let feature = match &message.feature {
        Some(WireFeature::Mention(mention)) => {
            Feature::Mention(fields::user_id(&path("mention.user_id"), &mention.user_id)?)
        }
        Some(WireFeature::Link(link)) => Feature::Link(
            Link::parse(&link.uri)
                .map_err(|error| status::invalid_field(&path("link.uri"), error, error.parts()))?,
        ),
        Some(WireFeature::Tag(tag)) => Feature::Tag(
            Tag::parse(&tag.tag)
                .map_err(|error| status::invalid_field(&path("tag.tag"), error, error.parts()))?,
        ),
        None => {
            let rule = "must be one of mention, link and tag";
            return Err(status::invalid_field(&path("feature"), rule, Vec::new()));
        }
    };
    let (start, end) = (message.byte_start as usize, message.byte_end as usize);
    Ok(Facet { start, end, feature })
}
