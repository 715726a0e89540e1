//! The verbs of the graph service: blocks, mutes, and what is between people.

mod profile;
mod relationships;

use clap::{Args, Subcommand};

use super::change::{OnUser, Words, change};
use super::list::{About, Paging, list, page_of};
use super::{Error, Output, Target};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Block somebody: neither of the two sees the other any more.
    Block(OnUser),
    /// Block somebody no longer. Follows that the block ended stay ended.
    Unblock(OnUser),
    /// Mute somebody: hide them from the user's feed and notifications.
    Mute(OnUser),
    /// Mute somebody no longer.
    Unmute(OnUser),
    /// Show who follows somebody.
    Followers(OfUser),
    /// Show whom somebody follows.
    Following(OfUser),
    /// Show whom a user blocks.
    Blocks(Own),
    /// Show whom a user mutes.
    Mutes(Own),
    Relationships(relationships::Relationships),
    Profile(profile::Profile),
}

/// A list about somebody.
#[derive(Args, Debug)]
pub(super) struct OfUser {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// About whom; the reader, if not given.
    #[arg(value_name = "OTHER")]
    of_user_id: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    target: Target,
}

/// A list of the user's own.
#[derive(Args, Debug)]
pub(super) struct Own {
    /// Whose.
    #[arg(value_name = "USER")]
    user_id: String,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    target: Target,
}

impl Verb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Block(OnUser { user_id, other_id, target }) => {
                let words = Words::new("now blocks", "already blocks");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::BlockRequest { user_id: from, blocked_id: to };
                change!(output, &target, block(request), (&user_id, words, &other_id))
            }
            Self::Unblock(OnUser { user_id, other_id, target }) => {
                let words = Words::new("no longer blocks", "did not block");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnblockRequest { user_id: from, blocked_id: to };
                change!(output, &target, unblock(request), (&user_id, words, &other_id))
            }
            Self::Mute(OnUser { user_id, other_id, target }) => {
                let words = Words::new("now mutes", "already mutes");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::MuteRequest { user_id: from, muted_id: to };
                change!(output, &target, mute(request), (&user_id, words, &other_id))
            }
            Self::Unmute(OnUser { user_id, other_id, target }) => {
                let words = Words::new("no longer mutes", "did not mute");
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnmuteRequest { user_id: from, muted_id: to };
                change!(output, &target, unmute(request), (&user_id, words, &other_id))
            }
            Self::Followers(OfUser { user_id, of_user_id, paging, target }) => {
                let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
                let about =
                    about(format!("followers {user_id} {of_user_id}"), "nobody follows them");
                let call = page_of!(list_followers(ListFollowersRequest {
                    user_id: user_id.clone(),
                    of_user_id: of_user_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
            Self::Following(OfUser { user_id, of_user_id, paging, target }) => {
                let of_user_id = of_user_id.unwrap_or_else(|| user_id.clone());
                let about =
                    about(format!("following {user_id} {of_user_id}"), "they follow nobody");
                let call = page_of!(list_following(ListFollowingRequest {
                    user_id: user_id.clone(),
                    of_user_id: of_user_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
            Self::Blocks(Own { user_id, paging, target }) => {
                let about = about(format!("blocks {user_id}"), "they block nobody");
                let call = page_of!(list_blocks(ListBlocksRequest { user_id: user_id.clone() }));
                list(output, &target, paging, about, call).await
            }
            Self::Mutes(Own { user_id, paging, target }) => {
                let about = about(format!("mutes {user_id}"), "they mute nobody");
                let call = page_of!(list_mutes(ListMutesRequest { user_id: user_id.clone() }));
                list(output, &target, paging, about, call).await
            }
            Self::Relationships(relationships) => relationships.run(output).await,
            Self::Profile(profile) => profile.run(output).await,
        }
    }
}

fn about(command: String, empty: &'static str) -> About {
    About { command, empty, live: None }
}
