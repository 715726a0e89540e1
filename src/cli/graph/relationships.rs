//! `whimbrel relationships`. Never changes a relation.

use clap::Args;

use crate::api::v1;
use crate::cli::json::{JsonLine, ProtoJson};
use crate::cli::{Error, Output, ServerArgs};
use crate::client::Client;

/// Show the relationships of a user to others: follows, blocks and mutes.
#[derive(Args, Debug)]
pub(in crate::cli) struct RelationshipsArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The other users, 100 at most.
    #[arg(value_name = "OTHER", required = true)]
    other_ids: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl RelationshipsArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, other_ids, server } = self;
        let at_least_cursor = String::new();
        let request = v1::GetRelationshipsRequest { user_id, other_ids, at_least_cursor };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_relationships(request).await }
        };
        let mut response = server.call(call).await?;
        for relationship in std::mem::take(&mut response.relationships) {
            let line = || JsonLine("relationship", ProtoJson(&relationship));
            output.print(|| text(&relationship), line)?;
        }
        output.print_for_machines(|| JsonLine("page", ProtoJson(&response)))
    }
}

fn text(relationship: &v1::Relationship) -> String {
    let relations = [
        (relationship.following, "you follow them"),
        (relationship.followed_by, "they follow you"),
        (relationship.blocking, "you block them"),
        (relationship.blocked_by, "they block you"),
        (relationship.muting, "you mute them"),
    ];
    let relations = relations.into_iter().filter(|(is_set, _)| *is_set).map(|(_, text)| text);
    let relations: Vec<_> = relations.collect();
    let relations = if relations.is_empty() { "nothing".to_owned() } else { relations.join(", ") };
    format!("{}: {relations}", relationship.user_id)
}
