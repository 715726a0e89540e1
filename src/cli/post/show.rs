//! `whimbrel show`.

use clap::Args;
use serde_json::json;

use crate::api::v1;
use crate::cli::show::Shown;
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
        let v1::GetPostsResponse { posts, cursor } = target.call(call).await?;
        for view in &posts {
            output.print(|| view.text(), || view.json())?;
        }
        let shown = |id: &str| posts.iter().flat_map(|view| &view.post).any(|it| it.post_id == id);
        let missing: Vec<_> = request.post_ids.iter().filter(|id| !shown(id)).collect();
        if output.is_json() {
            return output.print(String::new, || json!({ "missing": missing, "cursor": cursor }));
        }
        for id in missing {
            output.note(&format!("there is no {id}, or it cannot be seen"));
        }
        Ok(())
    }
}
