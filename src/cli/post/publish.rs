//! `whimbrel publish`, `reply` and `quote`. Validates no field, which the server does, but that a post
//! which is given to reply to, or to quote, is not empty: for the server that is a post without it.

use std::io::Read;

use clap::Args;

use crate::api::v1;
use crate::cli::json::{JsonLine, ProtoJson};
use crate::cli::text::AsText;
use crate::cli::{Error, Output, ServerArgs, encoding};
use crate::client::Client;

/// Publish a post.
#[derive(Args, Debug)]
pub(in crate::cli) struct PublishArgs {
    /// The author.
    #[arg(value_name = "AUTHOR")]
    user_id: String,
    /// The text of the post; - reads it from standard input.
    text: String,
    /// The post that this one replies to.
    #[arg(long, value_name = "POST", value_parser = reference)]
    reply_to: Option<String>,
    /// The post that this one quotes.
    #[arg(long, value_name = "POST", value_parser = reference)]
    quote: Option<String>,
    #[command(flatten)]
    options: PublishOptions,
}

/// The options of all verbs that publish.
#[derive(Args, Debug)]
struct PublishOptions {
    /// An attachment: its URI, and after spaces its media type (or -) and its description. May be
    /// given several times.
    #[arg(long, value_name = "URI [TYPE [ALT]]")]
    attach: Vec<String>,
    /// A language of the text, such as en or pt-BR. May be given several times.
    #[arg(long, value_name = "TAG")]
    lang: Vec<String>,
    /// The request id, which makes it safe to run the same command again. Random if not given.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// The arguments of `reply` and `quote`.
#[derive(Args, Debug)]
pub(in crate::cli) struct ReferenceArgs {
    /// The author.
    #[arg(value_name = "AUTHOR")]
    user_id: String,
    /// The post to reply to, or to quote.
    #[arg(value_name = "POST", value_parser = reference)]
    post_id: String,
    /// The text of the post; - reads it from standard input.
    text: String,
    #[command(flatten)]
    options: PublishOptions,
}

impl ReferenceArgs {
    pub(super) fn into_reply(self) -> PublishArgs {
        let Self { user_id, post_id, text, options } = self;
        PublishArgs { user_id, text, reply_to: Some(post_id), quote: None, options }
    }

    pub(super) fn into_quote(self) -> PublishArgs {
        let Self { user_id, post_id, text, options } = self;
        PublishArgs { user_id, text, reply_to: None, quote: Some(post_id), options }
    }
}

impl PublishArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, text, reply_to, quote, options } = self;
        let PublishOptions { attach, lang, request_id, server } = options;
        let text = if text == "-" { read_stdin()? } else { text };
        let random = || format!("cli-{:032x}", fastrand::u128(..));
        let request = v1::PublishRequest {
            user_id,
            text,
            request_id: request_id.unwrap_or_else(random),
            reply_to_post_id: reply_to.unwrap_or_default(),
            quote_post_id: quote.unwrap_or_default(),
            attachments: attach.iter().map(|given| attachment(given)).collect(),
            langs: lang,
            ..v1::PublishRequest::default()
        };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.publish(request).await }
        };
        let published = server.call(call).await?;
        output.print(
            || {
                let post = published.post.as_ref().map(v1::Post::text).unwrap_or_default();
                let repeat = if published.deduplicated { " (published before)" } else { "" };
                format!("{post}{repeat}")
            },
            || JsonLine("response", ProtoJson(&published)),
        )
    }
}

/// A shell gives an empty one for a variable that is not set.
fn reference(given: &str) -> Result<String, String> {
    match given {
        "" => Err("it is empty: give the id of a post, as `whimbrel posts` prints it".to_owned()),
        post_id => Ok(post_id.to_owned()),
    }
}

fn attachment(given: &str) -> v1::Attachment {
    let mut parts = given.trim().splitn(3, ' ').map(str::trim);
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (uri, media_type, alt) = (next(), next(), next());
    let media_type = if media_type == "-" { String::new() } else { media_type };
    v1::Attachment { uri, media_type, alt }
}

fn read_stdin() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| Error::File { file: "standard input".into(), source })?;
    // The line break at the end of most inputs does not belong to the text.
    let text = encoding::str_without_bom(&text);
    Ok(text.strip_suffix('\n').unwrap_or(text).to_owned())
}
