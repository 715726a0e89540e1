//! `whimbrel watch`.

use clap::Args;

use crate::api::v1::FeedEvent;
use crate::api::v1::feed_event::{self, Event};
use crate::cli::live::{Live, removal};
use crate::cli::show::Shown;
use crate::cli::{Error, Output, Target};
use crate::client;

/// Watch a user's home feed live. Connects again by itself, without a hole and without a repeat.
#[derive(Args, Debug)]
pub(in crate::cli) struct Watch {
    /// Whose feed.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Show all replies of those followed, whomever they answer.
    #[arg(long)]
    all_replies: bool,
    #[command(flatten)]
    live: Live,
    #[command(flatten)]
    target: Target,
}

impl Watch {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, all_replies, live, target } = self;
        // The first connection is made here, so that a wrong address is told at once.
        let mut watch = client::Watch::new(target.connect().await?, &user_id, live.start()?);
        if all_replies {
            watch = watch.include_all_replies();
        }
        live.run(output, watch, &format!("{user_id}'s feed")).await
    }
}

impl Shown for FeedEvent {
    fn text(&self) -> String {
        match &self.event {
            Some(
                Event::Posted(feed_event::Posted { item: Some(item) })
                | Event::Reposted(feed_event::Reposted { item: Some(item) }),
            ) => item.text(),
            Some(Event::AuthorAdded(added)) => {
                format!("+ now following {}", added.author_id)
            }
            Some(Event::AuthorRemoved(removed)) => {
                format!(
                    "- no longer in the feed: {} ({})",
                    removed.author_id,
                    removal(removed.reason)
                )
            }
            Some(Event::Deleted(deleted)) => format!("- post {} was deleted", deleted.post_id),
            Some(Event::Unreposted(unreposted)) => {
                let taken_back = format!(
                    "- {} took back a repost of {}",
                    unreposted.user_id, unreposted.post_id
                );
                match &unreposted.stand_in {
                    Some(item) => format!("{taken_back}; in its place:\n{}", item.text()),
                    None => taken_back,
                }
            }
            Some(Event::AuthorShown(shown)) => format!("+ no longer hidden: {}", shown.author_id),
            Some(Event::Posted(_) | Event::Reposted(_)) | None => {
                "(an event that this version does not know)".to_owned()
            }
        }
    }
}
