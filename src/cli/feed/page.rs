//! `whimbrel feed`.

use clap::Args;

use crate::cli::list::{About, Paging, list, page_of};
use crate::cli::{Error, Output, Target};

/// Show a user's home feed, newest first.
#[derive(Args, Debug)]
pub(in crate::cli) struct Feed {
    /// Whose feed.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Leave out the user's own posts and reposts.
    #[arg(long)]
    exclude_self: bool,
    /// Show all replies of those followed, whomever they answer.
    #[arg(long)]
    all_replies: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    target: Target,
}

impl Feed {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, exclude_self, all_replies: include_all_replies, paging, target } = self;
        let with_replies = if include_all_replies { " --all-replies" } else { "" };
        let without_own = if exclude_self { " --exclude-self" } else { "" };
        let about = About {
            command: format!("feed {user_id}{without_own}{with_replies}"),
            empty: "the feed is empty: follow somebody, or publish",
            live: Some(format!("watch {user_id}{with_replies}")),
        };
        let call = page_of!(news_feed(NewsFeedRequest {
            user_id: user_id.clone(),
            exclude_self,
            include_all_replies,
        }));
        list(output, &target, paging, about, call).await
    }
}
