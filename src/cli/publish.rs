//! `whimbrel publish`.

use std::io::Read;

use clap::Args;
use serde_json::json;

use super::{Error, Output, Target, show};
use crate::api::v1;
use crate::client::Client;

/// Publish a post.
#[derive(Args, Debug)]
pub(super) struct Publish {
    /// Who publishes.
    #[arg(value_name = "AUTHOR")]
    author_id: String,
    /// What the post says; - reads it from standard input.
    text: String,
    /// Makes it safe to run the same command again. Drawn at random if not given.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Publish {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { author_id, text, request_id, target } = self;
        let text = if text == "-" { read_stdin()? } else { text };
        let drawn = || format!("cli-{:032x}", fastrand::u128(..));
        let request_id = request_id.unwrap_or_else(drawn);
        let request = v1::PublishRequest { author_id, text, request_id };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.publish(request).await }
        };
        let published = target.call(call).await?;
        let post = published.post.unwrap_or_default();
        output.print(
            || {
                let again = if published.deduplicated { " (published before)" } else { "" };
                format!("{}{again}", show::post(&post))
            },
            || {
                json!({
                    "post": show::post_json(&post),
                    "deduplicated": published.deduplicated,
                    "cursor": published.cursor,
                })
            },
        )
    }
}

fn read_stdin() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| Error::File { file: "standard input".into(), source })?;
    // The line break that ends the last line of most inputs is not meant.
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
