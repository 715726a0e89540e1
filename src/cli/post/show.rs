//! `whimbrel show`.

use clap::Args;
use serde_json::json;

use crate::api::v1;
use crate::cli::json::{Line, Protobuf};
use crate::cli::show::{Entry, Shown};
use crate::cli::{Error, Output, Target};
use crate::client::Client;

/// Show posts by their ids.
#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Which posts, 100 at most.
    #[arg(value_name = "POST", required = true)]
    post_ids: Vec<String>,
    #[command(flatten)]
    target: Target,
}

impl Show {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, post_ids, target } = self;
        let at_least_cursor = String::new();
        let request = v1::GetPostsRequest { user_id, post_ids, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_posts(request).await }
        };
        let mut response = target.call(call).await?;
        let posts = std::mem::take(&mut response.posts);
        for view in &posts {
            output.print(|| view.text(), || Line(v1::PostView::KIND, Protobuf(view)))?;
        }
        let shown = |id: &str| posts.iter().flat_map(|view| &view.post).any(|it| it.post_id == id);
        let mut missing = 0;
        for post_id in request.post_ids.iter().filter(|id| !shown(id)) {
            missing += 1;
            match output.is_json() {
                true => {
                    output.print_for_machines(|| Line("missing", json!({ "postId": post_id })))?
                }
                false => output.note(&format!("there is no {post_id}, or it cannot be seen")),
            }
        }
        output.print_for_machines(|| Line("page", Protobuf(&response)))?;
        match missing {
            0 => Ok(()),
            missing => Err(Error::NotFound { missing, asked: request.post_ids.len() }),
        }
    }
}
