//! `whimbrel show`. Never lists.

use clap::Args;
use serde_json::json;

use crate::api::v1;
use crate::cli::json::{JsonLine, ProtoJson};
use crate::cli::text::{AsText, ListItem};
use crate::cli::{Error, Output, ServerArgs};
use crate::client::Client;

/// Show posts by their ids.
#[derive(Args, Debug)]
pub(in crate::cli) struct ShowArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The posts, 100 at most.
    #[arg(value_name = "POST", required = true)]
    post_ids: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl ShowArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, post_ids, server } = self;
        let at_least_cursor = String::new();
        let request = v1::GetPostsRequest { user_id, post_ids, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_posts(request).await }
        };
        let mut response = server.call(call).await?;
        let posts = std::mem::take(&mut response.posts);
        for view in &posts {
            output.print(|| view.text(), || JsonLine(v1::PostView::KIND, ProtoJson(view)))?;
        }
        let is_shown =
            |id: &str| posts.iter().flat_map(|view| &view.post).any(|post| post.post_id == id);
        let mut missing = 0;
        for post_id in request.post_ids.iter().filter(|id| !is_shown(id)) {
            missing += 1;
            match output.is_for_machines() {
                true => output
                    .print_for_machines(|| JsonLine("missing", json!({ "postId": post_id })))?,
                false => output.note(&format!("there is no {post_id}, or it cannot be seen")),
            }
        }
        output.print_for_machines(|| JsonLine("page", ProtoJson(&response)))?;
        match missing {
            0 => Ok(()),
            missing => Err(Error::NotFound { missing, requested: request.post_ids.len() }),
        }
    }
}
