//! The verbs of the feed service, without publishing: follows and the home feed. Never prints
//! except through `output`.

mod page;
mod watch;

use clap::Subcommand;

use super::change::{OnUserArgs, Predicates, change};
use super::{Error, Output};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum FeedVerb {
    /// Make a user follow another.
    Follow(OnUserArgs),
    /// End a user's follow of another.
    Unfollow(OnUserArgs),
    Feed(page::FeedArgs),
    Watch(watch::WatchFeedArgs),
}

impl FeedVerb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Follow(OnUserArgs { user_id, other_id, server }) => {
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::FollowRequest { user_id: from, followee_id: to };
                let predicates = Predicates::new("now follows", "already follows");
                change!(output, &server, follow(request), (&user_id, predicates, &other_id))
            }
            Self::Unfollow(OnUserArgs { user_id, other_id, server }) => {
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnfollowRequest { user_id: from, followee_id: to };
                let predicates = Predicates::new("no longer follows", "did not follow");
                change!(output, &server, unfollow(request), (&user_id, predicates, &other_id))
            }
            Self::Feed(feed) => feed.run(output).await,
            Self::Watch(watch) => watch.run(output).await,
        }
    }
}
