//! `whimbrel watch`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Error, Output, Target, show};
use crate::api::v1::feed_event::{self, author_removed};
use crate::api::v1::watch_feed_response::Message;
use crate::api::v1::{FeedEvent, FeedItem};
use crate::client::{self, StartAt};

/// Watch a user's home feed live. Connects again by itself, without a hole and without a repeat.
#[derive(Args, Debug)]
pub(super) struct Watch {
    /// Whose feed.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Start after this cursor instead of now.
    #[arg(long, value_name = "CURSOR", conflicts_with = "snapshot")]
    after: Option<String>,
    /// Start with the newest N items; 0 for the server's default.
    #[arg(long, value_name = "N")]
    snapshot: Option<i32>,
    /// Keep the place in this file: start there if it exists, instead of as the other options say.
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// If the place can no longer be served, start over with the newest items.
    #[arg(long)]
    reset: bool,
    /// The longest silence, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    heartbeat: Option<u64>,
    /// End once so many events were shown, instead of never. A batch is shown whole.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    target: Target,
}

impl Watch {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        // The first connection is made here, so that a wrong address is told at once.
        let client = self.target.connect().await?;
        let mut watch = client::Watch::new(client, &self.user_id, self.start()?);
        if let Some(seconds) = self.heartbeat {
            watch = watch.heartbeat(Duration::from_secs(seconds));
        }
        if self.reset {
            watch = watch.reset_on_gap();
        }

        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut is_lost = false;
        while left > 0 {
            // An outage is told once, however often it is tried to end it.
            let on_break = |error: &client::Error| {
                if !std::mem::replace(&mut is_lost, true) {
                    output.note(&format!("connection lost ({error}): trying again"));
                }
            };
            let message = tokio::select! {
                message = watch.next(on_break) => message?,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            is_lost = false;
            if let Message::Batch(batch) = &message {
                for event in &batch.events {
                    output.print(|| event_text(event), || event_json(event))?;
                }
                left = left.saturating_sub(batch.events.len());
            }
            self.tell(output, &message)?;
            if let (Some(file), Some(cursor)) = (&self.cursor_file, cursor(&message)) {
                keep(file, cursor)?;
            }
        }
        Ok(())
    }

    fn start(&self) -> Result<StartAt, Error> {
        if let Some(file) = &self.cursor_file {
            match fs::read_to_string(file) {
                Ok(cursor) => return Ok(StartAt::Cursor(cursor.trim().to_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::File { file: file.clone(), source }),
            }
        }
        Ok(match (&self.after, self.snapshot) {
            (Some(cursor), _) => StartAt::Cursor(cursor.clone()),
            (None, Some(limit)) => StartAt::Snapshot(limit),
            (None, None) => StartAt::Now,
        })
    }

    /// Prints what is not an event: all of it for machines, what matters for people.
    fn tell(&self, output: &Output, message: &Message) -> Result<(), Error> {
        if output.is_json() {
            return output.print(String::new, || message_json(message));
        }
        match message {
            Message::Opened(_) => output.note(&format!("watching {}'s feed", self.user_id)),
            Message::Reset(reset) => output.note(&format!(
                "the place kept can no longer be served ({}): starting over with the newest items",
                show::reason(reset.reason)
            )),
            Message::Closing(closing) => {
                output
                    .note(&format!("the server ends the stream: {}", show::reason(closing.reason)));
            }
            Message::CaughtUp(_) | Message::Bookmark(_) | Message::Batch(_) => {}
        }
        Ok(())
    }
}

fn cursor(message: &Message) -> Option<&str> {
    match message {
        Message::Opened(opened) => Some(&opened.cursor),
        Message::Batch(batch) => Some(&batch.cursor),
        Message::CaughtUp(caught_up) => Some(&caught_up.cursor),
        Message::Bookmark(bookmark) => Some(&bookmark.cursor),
        Message::Closing(closing) => Some(&closing.cursor),
        Message::Reset(_) => None,
    }
}

/// Replaces the file whole, so that a crash leaves the old place or the new one.
fn keep(file: &Path, cursor: &str) -> Result<(), Error> {
    let replace = || -> std::io::Result<()> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
        let mut new = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")))?;
        writeln!(new, "{cursor}")?;
        new.persist(file)?;
        Ok(())
    };
    replace().map_err(|source| Error::File { file: file.to_owned(), source })
}

fn event_text(event: &FeedEvent) -> String {
    use feed_event::Event;

    match &event.event {
        Some(
            Event::Posted(feed_event::Posted { item: Some(FeedItem { post: Some(post), .. }) })
            | Event::Reposted(feed_event::Reposted { item: Some(FeedItem { post: Some(post), .. }) }),
        ) => show::post(post),
        Some(Event::AuthorAdded(added)) => format!("+ now following {}", added.author_id),
        Some(Event::AuthorRemoved(removed)) => {
            format!("- no longer following {}", removed.author_id)
        }
        Some(Event::Deleted(deleted)) => format!("- post {} was deleted", deleted.post_id),
        Some(Event::Unreposted(unreposted)) => {
            format!("- {} took back a repost of {}", unreposted.user_id, unreposted.post_id)
        }
        Some(Event::Posted(_) | Event::Reposted(_)) | None => {
            "(an event that this version does not know)".to_owned()
        }
    }
}

fn event_json(event: &FeedEvent) -> Value {
    use feed_event::Event;

    let (name, content) = match &event.event {
        Some(Event::Posted(posted)) => {
            ("posted", json!({ "item": posted.item.as_ref().map(show::item_json) }))
        }
        Some(Event::Reposted(reposted)) => {
            ("reposted", json!({ "item": reposted.item.as_ref().map(show::item_json) }))
        }
        Some(Event::AuthorAdded(added)) => {
            ("author_added", json!({ "author_id": added.author_id }))
        }
        Some(Event::AuthorRemoved(removed)) => {
            let reason = author_removed::Reason::try_from(removed.reason).unwrap_or_default();
            let reason = reason.as_str_name().trim_start_matches("REASON_");
            ("author_removed", json!({ "author_id": removed.author_id, "reason": reason }))
        }
        Some(Event::Deleted(deleted)) => ("deleted", json!({ "post_id": deleted.post_id })),
        Some(Event::Unreposted(unreposted)) => {
            ("unreposted", json!({ "post_id": unreposted.post_id, "user_id": unreposted.user_id }))
        }
        None => ("unknown", json!({})),
    };
    json!({ "revision": event.revision, name: content })
}

fn message_json(message: &Message) -> Value {
    match message {
        Message::Opened(opened) => json!({
            "opened": { "cursor": opened.cursor, "head_cursor": opened.head_cursor }
        }),
        Message::Batch(batch) => json!({
            "batch": { "prev_cursor": batch.prev_cursor, "cursor": batch.cursor }
        }),
        Message::CaughtUp(caught_up) => json!({ "caught_up": { "cursor": caught_up.cursor } }),
        Message::Bookmark(bookmark) => json!({ "bookmark": { "cursor": bookmark.cursor } }),
        Message::Reset(reset) => json!({
            "reset": { "reason": show::reason(reset.reason), "oldest_cursor": reset.oldest_cursor }
        }),
        Message::Closing(closing) => json!({
            "closing": { "reason": show::reason(closing.reason), "cursor": closing.cursor }
        }),
    }
}
