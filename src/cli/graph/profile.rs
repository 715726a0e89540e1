//! `whimbrel profile`.

use clap::Args;
use serde_json::json;

use crate::api::v1;
use crate::cli::number::counted;
use crate::cli::{Error, Output, Target};
use crate::client::Client;

/// Show somebody in numbers.
#[derive(Args, Debug)]
pub(in crate::cli) struct Profile {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Whose numbers; the reader's, if not given.
    #[arg(value_name = "OTHER")]
    of_user_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Profile {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, of_user_id, target } = self;
        let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
        let at_least_cursor = String::new();
        let request = v1::GetProfileRequest { user_id, of_user_id, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_profile(request).await }
        };
        let v1::GetProfileResponse { profile, cursor } = target.call(call).await?;
        let v1::Profile {
            user_id,
            follower_count,
            following_count,
            post_count,
            received_like_count,
        } = profile.unwrap_or_default();
        output.print(
            || {
                let followers = counted(follower_count, "follower");
                let posts = counted(post_count, "post");
                let likes = counted(received_like_count, "like");
                format!(
                    "{user_id}: {followers}, {following_count} followed, {posts}, {likes} received"
                )
            },
            || {
                json!({
                    "user_id": user_id,
                    "follower_count": follower_count,
                    "following_count": following_count,
                    "post_count": post_count,
                    "received_like_count": received_like_count,
                    "cursor": cursor,
                })
            },
        )
    }
}
