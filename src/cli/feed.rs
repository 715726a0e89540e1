//! `whimbrel feed`.

use clap::Args;
use serde_json::json;

use super::{Error, Output, Target, show};
use crate::api::v1;
use crate::client::Client;

/// Show a user's home feed, newest first.
#[derive(Args, Debug)]
pub(super) struct Feed {
    /// Whose feed.
    #[arg(value_name = "USER")]
    user_id: String,
    /// How many items a page has; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N")]
    page_size: i32,
    /// Go on from a page before, with the token that it ended with.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    /// Show all pages, to the end of the feed.
    #[arg(long)]
    all: bool,
    /// Show a feed that is no older than this cursor.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CURSOR")]
    at_least: String,
    /// Leave out the user's own posts.
    #[arg(long)]
    exclude_self: bool,
    #[command(flatten)]
    target: Target,
}

impl Feed {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let mut request = v1::NewsFeedRequest {
            user_id: self.user_id,
            page_size: self.page_size,
            page_token: self.page_token,
            at_least_cursor: self.at_least,
            exclude_self: self.exclude_self,
        };
        loop {
            let call = |client: Client| {
                let request = request.clone();
                async move { client.news_feed(request).await }
            };
            let page = self.target.call(call).await?;
            for item in &page.items {
                let post = item.post.clone().unwrap_or_default();
                output.print(|| show::post(&post), || show::item_json(item))?;
            }
            let at_end = page.next_page_token.is_empty();
            if !self.all || at_end {
                return finish(output, &request.user_id, &page);
            }
            request.page_token = page.next_page_token;
        }
    }
}

/// Says how to go on: to older items, and live.
fn finish(output: &Output, user: &str, page: &v1::NewsFeedResponse) -> Result<(), Error> {
    let v1::NewsFeedResponse { next_page_token, cursor, .. } = page;
    if output.is_json() {
        let end = json!({ "next_page_token": next_page_token, "cursor": cursor });
        return output.print(String::new, || end);
    }
    if page.items.is_empty() {
        output.note("the feed is empty: follow somebody, or publish");
    }
    if !next_page_token.is_empty() {
        output.note(&format!("older: whimbrel feed {user} --page-token {next_page_token}"));
    }
    output.note(&format!("newer: whimbrel watch {user} --after {cursor}"));
    Ok(())
}
