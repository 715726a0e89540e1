//! `whimbrel watch`. Never reads pages.

use clap::Args;

use crate::api::v1::feed_event::Change;
use crate::api::v1::{FeedEvent, PostedEvent, RepostedEvent};
use crate::cli::text::AsText;
use crate::cli::watch::{WatchArgs, removal};
use crate::cli::{Error, Output, ServerArgs};
use crate::client;

/// Watch a user's home feed live.
///
/// Reconnects by itself, without a missing or repeated event.
#[derive(Args, Debug)]
pub(in crate::cli) struct WatchFeedArgs {
    /// The reader, whose feed it is.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Show all replies of followed authors, to any user.
    #[arg(long)]
    all_replies: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl WatchFeedArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, all_replies, watch: options, server } = self;
        let start = options.start()?;
        // The first connection is made here, without retries, so that a wrong address fails at
        // once.
        let mut watch = client::Watch::new(server.connect().await?, &user_id, start);
        if all_replies {
            watch = watch.include_all_replies();
        }
        options.run(output, watch, &format!("{user_id}'s feed")).await
    }
}

impl AsText for FeedEvent {
    fn text(&self) -> String {
        match &self.change {
            Some(
                Change::Posted(PostedEvent { item: Some(item) })
                | Change::Reposted(RepostedEvent { item: Some(item) }),
            ) => item.text(),
            Some(Change::AuthorAdded(added)) => {
                format!("+ now following {}", added.author_id)
            }
            Some(Change::AuthorRemoved(removed)) => {
                format!(
                    "- no longer in the feed: {} ({})",
                    removed.author_id,
                    removal(removed.reason)
                )
            }
            Some(Change::Deleted(deleted)) => format!("- post {} was deleted", deleted.post_id),
            Some(Change::Unreposted(unreposted)) => {
                let text = format!(
                    "- {} took back a repost of {}",
                    unreposted.user_id, unreposted.post_id
                );
                match &unreposted.stand_in {
                    Some(item) => format!("{text}; in its place:\n{}", item.text()),
                    None => text,
                }
            }
            Some(Change::AuthorShown(shown)) => format!("+ no longer hidden: {}", shown.author_id),
            Some(Change::Posted(_) | Change::Reposted(_)) | None => {
                "(an event that this version does not know)".to_owned()
            }
        }
    }
}
