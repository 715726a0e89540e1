//! The verbs of the feed service: who follows whom, and the home feed.

mod page;
mod watch;

use clap::Subcommand;

use super::change::{OnUser, Words, change};
use super::{Error, Output};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a user follow another.
    Follow(OnUser),
    /// Make a user follow another no longer.
    Unfollow(OnUser),
    Feed(page::Feed),
    Watch(watch::Watch),
}

impl Verb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Follow(OnUser { user_id, other_id, target }) => {
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::FollowRequest { user_id: from, followee_id: to };
                let words = Words::new("now follows", "already follows");
                change!(output, &target, follow(request), (&user_id, words, &other_id))
            }
            Self::Unfollow(OnUser { user_id, other_id, target }) => {
                let (from, to) = (user_id.clone(), other_id.clone());
                let request = v1::UnfollowRequest { user_id: from, followee_id: to };
                let words = Words::new("no longer follows", "did not follow");
                change!(output, &target, unfollow(request), (&user_id, words, &other_id))
            }
            Self::Feed(feed) => feed.run(output).await,
            Self::Watch(watch) => watch.run(output).await,
        }
    }
}
