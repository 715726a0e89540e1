//! The verbs of the graph service: blocks, mutes, lists of users, relationships and profiles. Never
//! prints except through `output`.

mod profile;
mod relationships;

use clap::{Args, Subcommand};

use super::change::{OnUserArgs, Predicates, change};
use super::list::{ListHints, PagingArgs, list, page_call};
use super::{Error, Output, ServerArgs};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum GraphVerb {
    /// Block a user: neither of the two sees the other any more.
    Block(OnUserArgs),
    /// End a block. Follows that the block ended stay ended.
    Unblock(OnUserArgs),
    /// Mute a user: hide them from the feed and the notifications.
    Mute(OnUserArgs),
    /// End a mute.
    Unmute(OnUserArgs),
    /// Show the followers of a user.
    Followers(OfUserArgs),
    /// Show the users that a user follows.
    Following(OfUserArgs),
    /// Show the users that a user blocks.
    Blocks(OwnListArgs),
    /// Show the users that a user mutes.
    Mutes(OwnListArgs),
    Relationships(relationships::RelationshipsArgs),
    Profile(profile::ProfileArgs),
}

/// The arguments of a list of a user's followers or followees.
#[derive(Args, Debug)]
pub(super) struct OfUserArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The user whose list it is; the reader, if not given.
    #[arg(value_name = "OTHER")]
    of_user_id: Option<String>,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// The arguments of a list that only its owner can read.
#[derive(Args, Debug)]
pub(super) struct OwnListArgs {
    /// The reader, whose list it is.
    #[arg(value_name = "USER")]
    user_id: String,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl GraphVerb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Block(OnUserArgs { user_id, other_id, server }) => {
                let predicates = Predicates::new("now blocks", "already blocks");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::BlockRequest { user_id: from, blocked_id: to };
                change!(output, &server, block(request), (&user_id, predicates, &other_id))
            }
            Self::Unblock(OnUserArgs { user_id, other_id, server }) => {
                let predicates = Predicates::new("no longer blocks", "did not block");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnblockRequest { user_id: from, blocked_id: to };
                change!(output, &server, unblock(request), (&user_id, predicates, &other_id))
            }
            Self::Mute(OnUserArgs { user_id, other_id, server }) => {
                let predicates = Predicates::new("now mutes", "already mutes");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::MuteRequest { user_id: from, muted_id: to };
                change!(output, &server, mute(request), (&user_id, predicates, &other_id))
            }
            Self::Unmute(OnUserArgs { user_id, other_id, server }) => {
                let predicates = Predicates::new("no longer mutes", "did not mute");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnmuteRequest { user_id: from, muted_id: to };
                change!(output, &server, unmute(request), (&user_id, predicates, &other_id))
            }
            Self::Followers(OfUserArgs { user_id, of_user_id, paging, server }) => {
                let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
                let hints =
                    hints(format!("followers {user_id} {of_user_id}"), "nobody follows them");
                let call = page_call!(list_followers(ListFollowersRequest {
                    user_id: user_id.clone(),
                    of_user_id: of_user_id.clone(),
                }));
                list(output, &server, paging, hints, call).await
            }
            Self::Following(OfUserArgs { user_id, of_user_id, paging, server }) => {
                let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
                let hints =
                    hints(format!("following {user_id} {of_user_id}"), "they follow nobody");
                let call = page_call!(list_following(ListFollowingRequest {
                    user_id: user_id.clone(),
                    of_user_id: of_user_id.clone(),
                }));
                list(output, &server, paging, hints, call).await
            }
            Self::Blocks(OwnListArgs { user_id, paging, server }) => {
                let hints = hints(format!("blocks {user_id}"), "they block nobody");
                let call = page_call!(list_blocks(ListBlocksRequest { user_id: user_id.clone() }));
                list(output, &server, paging, hints, call).await
            }
            Self::Mutes(OwnListArgs { user_id, paging, server }) => {
                let hints = hints(format!("mutes {user_id}"), "they mute nobody");
                let call = page_call!(list_mutes(ListMutesRequest { user_id: user_id.clone() }));
                list(output, &server, paging, hints, call).await
            }
            Self::Relationships(relationships) => relationships.run(output).await,
            Self::Profile(profile) => profile.run(output).await,
        }
    }
}

fn hints(command: String, empty: &'static str) -> ListHints {
    ListHints { command, empty, live: None }
}
