//! `whimbrel posts`. Never shows single posts by id.

use clap::Args;

use crate::cli::list::{ListHints, PagingArgs, list, page_call};
use crate::cli::{Error, Output, ServerArgs};

/// Show an author's posts, newest first.
#[derive(Args, Debug)]
pub(in crate::cli) struct PostsArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The author; the reader, if not given.
    #[arg(value_name = "AUTHOR")]
    author_id: Option<String>,
    /// Show replies to others too.
    #[arg(long)]
    replies: bool,
    /// Show reposts too.
    #[arg(long)]
    reposts: bool,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl PostsArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, author_id, replies, reposts, paging, server } = self;
        let author_id = author_id.unwrap_or_else(|| user_id.clone());
        let with_replies = if replies { " --replies" } else { "" };
        let with_reposts = if reposts { " --reposts" } else { "" };
        let hints = ListHints {
            command: format!("posts {user_id} {author_id}{with_replies}{with_reposts}"),
            empty: "there are no posts",
            live: None,
        };
        let call = page_call!(list_posts(ListPostsRequest {
            user_id: user_id.clone(),
            author_id: author_id.clone(),
            include_replies: replies,
            include_reposts: reposts,
        }));
        list(output, &server, paging, hints, call).await
    }
}
