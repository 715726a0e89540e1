//! `whimbrel feed`. Never watches.

use clap::Args;

use crate::cli::list::{ListHints, PagingArgs, list, page_call};
use crate::cli::{Error, Output, ServerArgs};

/// Show a user's home feed, newest first.
#[derive(Args, Debug)]
pub(in crate::cli) struct FeedArgs {
    /// The reader, whose feed it is.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Leave out the user's own posts and reposts.
    #[arg(long)]
    exclude_self: bool,
    /// Show all replies of followed authors, to any user.
    #[arg(long)]
    all_replies: bool,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl FeedArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, exclude_self, all_replies: include_all_replies, paging, server } = self;
        let with_replies = if include_all_replies { " --all-replies" } else { "" };
        let without_own = if exclude_self { " --exclude-self" } else { "" };
        let hints = ListHints {
            command: format!("feed {user_id}{without_own}{with_replies}"),
            empty: "the feed is empty: follow somebody, or publish",
            live: Some(format!("watch {user_id}{with_replies}")),
        };
        let call = page_call!(news_feed(NewsFeedRequest {
            user_id: user_id.clone(),
            exclude_self,
            include_all_replies,
        }));
        list(output, &server, paging, hints, call).await
    }
}
