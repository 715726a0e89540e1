//! `whimbrel watch`.

use clap::Args;
use serde_json::{Value, json};

use crate::api::v1::feed_event::{self, Event};
use crate::api::v1::{FeedEvent, FeedItem};
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

    fn json(&self) -> Value {
        let item = |item: &Option<FeedItem>| json!({ "item": item.as_ref().map(FeedItem::json) });
        let (name, content) = match &self.event {
            Some(Event::Posted(posted)) => ("posted", item(&posted.item)),
            Some(Event::Reposted(reposted)) => ("reposted", item(&reposted.item)),
            Some(Event::AuthorAdded(added)) => {
                ("author_added", json!({ "author_id": added.author_id }))
            }
            Some(Event::AuthorRemoved(removed)) => {
                let reason = removal(removed.reason);
                ("author_removed", json!({ "author_id": removed.author_id, "reason": reason }))
            }
            Some(Event::Deleted(deleted)) => ("deleted", json!({ "post_id": deleted.post_id })),
            Some(Event::Unreposted(unreposted)) => {
                let content = json!({
                    "post_id": unreposted.post_id,
                    "user_id": unreposted.user_id,
                    "stand_in": unreposted.stand_in.as_ref().map(FeedItem::json),
                });
                ("unreposted", content)
            }
            Some(Event::AuthorShown(shown)) => {
                ("author_shown", json!({ "author_id": shown.author_id }))
            }
            None => ("unknown", json!({})),
        };
        json!({
            "revision": self.revision,
            name: content,
            "page_again_revision": self.page_again_revision,
        })
    }
}
