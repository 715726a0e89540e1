//! `whimbrel relationships`.

use clap::Args;

use crate::api::v1;
use crate::cli::json::{Line, Protobuf};
use crate::cli::{Error, Output, Target};
use crate::client::Client;

/// Show what is between a user and others.
#[derive(Args, Debug)]
pub(in crate::cli) struct Relationships {
    /// Who asks.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The others, 100 at most.
    #[arg(value_name = "OTHER", required = true)]
    other_ids: Vec<String>,
    #[command(flatten)]
    target: Target,
}

impl Relationships {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, other_ids, target } = self;
        let at_least_cursor = String::new();
        let request = v1::GetRelationshipsRequest { user_id, other_ids, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_relationships(request).await }
        };
        let mut response = target.call(call).await?;
        for between in std::mem::take(&mut response.relationships) {
            output.print(|| text(&between), || Line("relationship", Protobuf(&between)))?;
        }
        output.print_for_machines(|| Line("page", Protobuf(&response)))
    }
}

fn text(between: &v1::Relationship) -> String {
    let what = [
        (between.following, "you follow them"),
        (between.followed_by, "they follow you"),
        (between.blocking, "you block them"),
        (between.blocked_by, "they block you"),
        (between.muting, "you mute them"),
    ];
    let what: Vec<_> = what.into_iter().filter(|(is, _)| *is).map(|(_, said)| said).collect();
    let what = if what.is_empty() { "nothing".to_owned() } else { what.join(", ") };
    format!("{}: {what}", between.user_id)
}
