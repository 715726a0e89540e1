//! `whimbrel unfollow`.

use clap::Args;
use serde_json::json;

use super::{Error, Output, Target};
use crate::api::v1;

/// Make a user no longer follow another.
#[derive(Args, Debug)]
pub(super) struct Unfollow {
    /// Who unfollows.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Whom.
    #[arg(value_name = "FOLLOWEE")]
    followee_id: String,
    #[command(flatten)]
    target: Target,
}

impl Unfollow {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, followee_id, target } = self;
        let request = v1::UnfollowRequest { user_id, followee_id };
        let call = |client: crate::client::Client| {
            let request = request.clone();
            async move { client.unfollow(request).await }
        };
        let edge = target.call(call).await?;
        let v1::UnfollowRequest { user_id, followee_id } = &request;
        output.print(
            || {
                let verb = if edge.changed { "no longer follows" } else { "did not follow" };
                format!("{user_id} {verb} {followee_id} (revision {})", edge.revision)
            },
            || {
                json!({
                    "changed": edge.changed,
                    "revision": edge.revision,
                    "cursor": edge.cursor,
                })
            },
        )
    }
}
