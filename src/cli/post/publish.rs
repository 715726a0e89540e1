//! `whimbrel publish`, `reply` and `quote`.

use std::io::Read;

use clap::Args;

use crate::api::v1;
use crate::cli::json::{Line, Protobuf};
use crate::cli::show::Shown;
use crate::cli::{Error, Output, Target, encoding};
use crate::client::Client;

/// Publish a post.
#[derive(Args, Debug)]
pub(in crate::cli) struct Publish {
    /// Who publishes.
    #[arg(value_name = "AUTHOR")]
    author_id: String,
    /// What the post says; - reads it from standard input.
    text: String,
    /// The post that it answers.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POST")]
    reply_to: String,
    /// The post that it quotes.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POST")]
    quote: String,
    #[command(flatten)]
    with: With,
}

/// What a post may have beside its text.
#[derive(Args, Debug)]
struct With {
    /// Attach something: its URI, and after spaces its media type (or -) and what it shows. May be
    /// given several times.
    #[arg(long, value_name = "URI [TYPE [ALT]]")]
    attach: Vec<String>,
    /// A language it is in, such as en or pt-BR. May be given several times.
    #[arg(long, value_name = "TAG")]
    lang: Vec<String>,
    /// Makes it safe to run the same command again. Drawn at random if not given.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// A post about another.
#[derive(Args, Debug)]
pub(in crate::cli) struct About {
    /// Who publishes.
    #[arg(value_name = "AUTHOR")]
    author_id: String,
    /// The other post.
    #[arg(value_name = "POST")]
    post_id: String,
    /// What the post says; - reads it from standard input.
    text: String,
    #[command(flatten)]
    with: With,
}

impl About {
    /// The post that answers the other.
    pub(super) fn into_reply(self) -> Publish {
        let Self { author_id, post_id: reply_to, text, with } = self;
        Publish { author_id, text, reply_to, quote: String::new(), with }
    }

    /// The post that quotes the other.
    pub(super) fn into_quote(self) -> Publish {
        let Self { author_id, post_id: quote, text, with } = self;
        Publish { author_id, text, reply_to: String::new(), quote, with }
    }
}

impl Publish {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { author_id, text, reply_to, quote, with } = self;
        let With { attach, lang, request_id, target } = with;
        let text = if text == "-" { read_stdin()? } else { text };
        let drawn = || format!("cli-{:032x}", fastrand::u128(..));
        let request = v1::PublishRequest {
            author_id,
            text,
            request_id: request_id.unwrap_or_else(drawn),
            reply_to_post_id: reply_to,
            quote_post_id: quote,
            attachments: attach.iter().map(|given| attachment(given)).collect(),
            langs: lang,
            ..v1::PublishRequest::default()
        };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.publish(request).await }
        };
        let published = target.call(call).await?;
        output.print(
            || {
                let post = published.post.as_ref().map(v1::Post::text).unwrap_or_default();
                let again = if published.deduplicated { " (published before)" } else { "" };
                format!("{post}{again}")
            },
            || Line("response", Protobuf(&published)),
        )
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
    // The line break that ends the last line of most inputs is not meant.
    let text = encoding::unmarked_str(&text);
    Ok(text.strip_suffix('\n').unwrap_or(text).to_owned())
}
