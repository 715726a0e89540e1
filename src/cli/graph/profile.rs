//! `whimbrel profile`. Never counts anything itself.

use clap::Args;

use crate::api::v1;
use crate::cli::json::{JsonLine, ProtoJson};
use crate::cli::number::counted;
use crate::cli::{Error, Output, ServerArgs};
use crate::client::Client;

/// Show the counts of a user: followers, followees, posts and received likes.
#[derive(Args, Debug)]
pub(in crate::cli) struct ProfileArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The user whose profile it is; the reader, if not given.
    #[arg(value_name = "OTHER")]
    of_user_id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl ProfileArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, of_user_id, server } = self;
        let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
        let at_least_cursor = String::new();
        let request = v1::GetProfileRequest { user_id, of_user_id, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_profile(request).await }
        };
        let response = server.call(call).await?;
        output.print(
            || response.profile.as_ref().map(text).unwrap_or_default(),
            || JsonLine("response", ProtoJson(&response)),
        )
    }
}

fn text(profile: &v1::Profile) -> String {
    let followers = counted(profile.follower_count, "follower");
    let posts = counted(profile.post_count, "post");
    let likes = counted(profile.received_like_count, "like");
    let (user_id, following) = (&profile.user_id, profile.following_count);
    format!("{user_id}: {followers}, {following} followed, {posts}, {likes} received")
}
