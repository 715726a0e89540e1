//! `whimbrel posts`.

use clap::Args;

use crate::cli::list::{About, Paging, list, page_of};
use crate::cli::{Error, Output, Target};

/// Show what somebody has posted, newest first.
#[derive(Args, Debug)]
pub(in crate::cli) struct Posts {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Whose posts; the reader's, if not given.
    #[arg(value_name = "AUTHOR")]
    author_id: Option<String>,
    /// With their replies to others.
    #[arg(long)]
    replies: bool,
    /// With what they reposted.
    #[arg(long)]
    reposts: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    target: Target,
}

impl Posts {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, author_id, replies, reposts, paging, target } = self;
        let author_id = author_id.unwrap_or_else(|| user_id.clone());
        let with_replies = if replies { " --replies" } else { "" };
        let with_reposts = if reposts { " --reposts" } else { "" };
        let about = About {
            command: format!("posts {user_id} {author_id}{with_replies}{with_reposts}"),
            empty: "there are no posts",
            live: None,
        };
        let call = page_of!(list_posts(ListPostsRequest {
            user_id: user_id.clone(),
            author_id: author_id.clone(),
            include_replies: replies,
            include_reposts: reposts,
        }));
        list(output, &target, paging, about, call).await
    }
}
