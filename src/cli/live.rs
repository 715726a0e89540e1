//! The verbs that watch: a stream that goes on by itself, and the place in it, kept in a file.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use prost::Name;

use super::json::Protobuf;
use super::show::{self, Shown};
use super::{Error, Output, encoding, number};
use crate::api::v1::feed_event::author_removed::Reason;
use crate::client::{self, Watch, WatchMessage, WatchStart, WatchedEvent};

/// Where a watch begins, and how it goes on.
#[derive(Args, Debug)]
pub(super) struct Live {
    /// Start after this cursor instead of now.
    #[arg(long, value_name = "CURSOR", conflicts_with = "snapshot")]
    after: Option<String>,
    /// Start with the newest N items; 0 for the server's default.
    #[arg(long, value_name = "N", value_parser = number::at_least(0_i32))]
    snapshot: Option<i32>,
    /// Keep the place in this file: start there if it exists, instead of as the other options say.
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// If the place can no longer be served, start over with the newest items.
    #[arg(long)]
    reset: bool,
    /// The longest silence, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = number::within(1..=3600_u64))]
    heartbeat: Option<u64>,
    /// End once so many events were shown, instead of never. A batch is shown whole.
    #[arg(long, value_name = "N", value_parser = number::at_least(1_usize))]
    limit: Option<usize>,
}

impl Live {
    /// Refuses what was given: nothing is watched.
    pub(super) fn refuse_given(&self) -> Result<(), Error> {
        let Self { after, snapshot, cursor_file, reset, heartbeat, limit } = self;
        let is_given = after.is_some()
            || snapshot.is_some()
            || cursor_file.is_some()
            || *reset
            || heartbeat.is_some()
            || limit.is_some();
        if !is_given {
            return Ok(());
        }
        Err(Error::Usage("the options of a watch need --watch".into()))
    }

    /// Where to begin.
    pub(super) fn start(&self) -> Result<WatchStart, Error> {
        if let Some(file) = &self.cursor_file {
            let unusable = |source| Error::File { file: file.clone(), source };
            match fs::read_to_string(file) {
                Ok(kept) => return kept_cursor(&kept).map_err(unusable),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(unusable(source)),
            }
        }
        Ok(match (&self.after, self.snapshot) {
            (Some(cursor), _) => WatchStart::Cursor(cursor.clone()),
            (None, Some(limit)) => WatchStart::Snapshot(limit),
            (None, None) => WatchStart::Now,
        })
    }

    /// Shows what `watch` brings, which is `what`.
    pub(super) async fn run<E>(
        self,
        output: &Output,
        mut watch: Watch<E>,
        what: &str,
    ) -> Result<(), Error>
    where
        E: WatchedEvent<Response: Name> + Shown,
    {
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
            if let WatchMessage::Batch(batch) = &message {
                left = left.saturating_sub(batch.events.len());
            }
            let cursor = message.cursor().map(str::to_owned);
            tell(output, message, what)?;
            if let (Some(file), Some(cursor)) = (&self.cursor_file, cursor) {
                keep(file, &cursor)?;
            }
        }
        Ok(())
    }
}

/// Prints a message: all of it for machines, as the server sent it; what matters for people.
fn tell<E>(output: &Output, message: WatchMessage<E>, what: &str) -> Result<(), Error>
where
    E: WatchedEvent<Response: Name> + Shown,
{
    if output.is_json() {
        let response = E::response(message);
        return output.print_for_machines(|| Protobuf(&response));
    }
    match message {
        WatchMessage::Opened(_) => output.note(&format!("watching {what}")),
        WatchMessage::Batch(batch) => {
            for event in &batch.events {
                output.print_for_people(|| event.text())?;
            }
        }
        WatchMessage::Reset(reset) => output.note(&format!(
            "the place kept can no longer be served ({}): starting over with the newest items",
            show::reason(reset.reason)
        )),
        WatchMessage::Closing(closing) => {
            output.note(&format!("the server ends the stream: {}", show::reason(closing.reason)));
        }
        WatchMessage::CaughtUp(_) | WatchMessage::Bookmark(_) => {}
    }
    Ok(())
}

/// The cursor that a file holds, around which an editor may have put what it always does.
fn kept_cursor(kept: &str) -> std::io::Result<WatchStart> {
    match encoding::unmarked_str(kept).trim() {
        "" => {
            let said = "it holds no cursor: remove it to start as the other options say";
            Err(std::io::Error::new(ErrorKind::InvalidData, said))
        }
        cursor => Ok(WatchStart::Cursor(cursor.to_owned())),
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

/// Why somebody is gone, in a word: UNFOLLOW, BLOCK or MUTE.
pub(super) fn removal(reason: i32) -> String {
    show::named(reason, "REASON_", |reason: Reason| reason.as_str_name())
}
