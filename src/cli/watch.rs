//! The verbs that watch: a stream that resumes by itself, and its cursor in a file. Never stores a
//! cursor before the events up to it are printed.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use prost::Name;

use super::json::ProtoJson;
use super::text::{self, AsText};
use super::{Error, Output, encoding, number};
use crate::api::v1::RemovedReason;
use crate::client::{self, Watch, WatchMessage, WatchStart, WatchedEvent};

/// The options of a watch.
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    /// Start after this cursor instead of now.
    #[arg(long, value_name = "CURSOR", conflicts_with = "snapshot")]
    after: Option<String>,
    /// Start with the newest N items; 0 for the server's default.
    #[arg(long, value_name = "N", value_parser = number::at_least(0_i32))]
    snapshot: Option<i32>,
    /// Store the cursor in this file. If the file exists, start after its cursor, whatever the
    /// other options say.
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// If the cursor can no longer be served, start again with the newest items.
    #[arg(long)]
    reset: bool,
    /// The longest time without a message, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = number::within(1..=3600_u64))]
    heartbeat: Option<u64>,
    /// End after N events, instead of never. The last batch is shown whole.
    #[arg(long, value_name = "N", value_parser = number::at_least(1_usize))]
    limit: Option<usize>,
}

impl WatchArgs {
    /// Refuses all of these options, for a verb that does not watch.
    ///
    /// # Errors
    /// One of them is given.
    pub(super) fn refuse(&self) -> Result<(), Error> {
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

    /// The position at which the watch begins.
    pub(super) fn start(&self) -> Result<WatchStart, Error> {
        if let Some(file) = &self.cursor_file {
            let unusable = |source| Error::File { file: file.clone(), source };
            match fs::read_to_string(file) {
                Ok(content) => return parse_cursor(&content).map_err(unusable),
                // It is made with the first cursor, which should not be the first to miss its folder.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let dir = folder_of(file);
                    fs::metadata(dir)
                        .map_err(|source| Error::File { file: dir.to_owned(), source })?;
                }
                Err(source) => return Err(unusable(source)),
            }
        }
        Ok(match (&self.after, self.snapshot) {
            (Some(cursor), _) => WatchStart::Cursor(cursor.clone()),
            (None, Some(limit)) => WatchStart::Snapshot(limit),
            (None, None) => WatchStart::Now,
        })
    }

    /// Shows the messages of `watch`, which people read as `name`.
    pub(super) async fn run<E>(
        self,
        output: &Output,
        mut watch: Watch<E>,
        name: &str,
    ) -> Result<(), Error>
    where
        E: WatchedEvent<Response: Name> + AsText,
    {
        if let Some(seconds) = self.heartbeat {
            watch = watch.heartbeat(Duration::from_secs(seconds));
        }
        if self.reset {
            watch = watch.reset_on_gap();
        }

        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut is_disconnected = false;
        while left > 0 {
            // Reported once, not for each try to reconnect.
            let on_break = |error: &client::Error| {
                if !std::mem::replace(&mut is_disconnected, true) {
                    output.note(&format!("connection lost ({error}): trying again"));
                }
            };
            let message = tokio::select! {
                message = watch.next(on_break) => message?,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            is_disconnected = false;
            if let WatchMessage::Batch(batch) = &message {
                left = left.saturating_sub(batch.events.len());
            }
            let cursor = message.cursor().map(str::to_owned);
            print_message(output, message, name)?;
            if let (Some(file), Some(cursor)) = (&self.cursor_file, cursor) {
                store_cursor(file, &cursor)?;
            }
        }
        Ok(())
    }
}

/// Prints a message: for machines the whole response, for people its events and its errors.
fn print_message<E>(output: &Output, message: WatchMessage<E>, name: &str) -> Result<(), Error>
where
    E: WatchedEvent<Response: Name> + AsText,
{
    if output.is_for_machines() {
        let response = E::response(message);
        return output.print_for_machines(|| ProtoJson(&response));
    }
    match message {
        WatchMessage::Opened(_) => output.note(&format!("watching {name}")),
        WatchMessage::Batch(batch) => {
            for event in &batch.events {
                output.print_for_people(|| event.text())?;
            }
        }
        WatchMessage::Reset(reset) => output.note(&format!(
            "the cursor can no longer be served ({}): starting again with the newest items",
            text::reason(reset.reason)
        )),
        WatchMessage::Closing(closing) => {
            output.note(&format!("the server ends the stream: {}", text::reason(closing.reason)));
        }
        WatchMessage::CaughtUp(_) | WatchMessage::Bookmark(_) => {}
    }
    Ok(())
}

/// The cursor in the content of a cursor file. An editor may have added a byte order mark or white
/// space.
fn parse_cursor(content: &str) -> std::io::Result<WatchStart> {
    match encoding::str_without_bom(content).trim() {
        "" => {
            let problem = "it holds no cursor: remove it to start as the other options say";
            Err(std::io::Error::new(ErrorKind::InvalidData, problem))
        }
        cursor => Ok(WatchStart::Cursor(cursor.to_owned())),
    }
}

/// Replaces the file atomically, so that a crash leaves the old cursor or the new one.
fn store_cursor(file: &Path, cursor: &str) -> Result<(), Error> {
    let replace = || -> std::io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(folder_of(file))?;
        writeln!(new, "{cursor}")?;
        new.persist(file)?;
        Ok(())
    };
    replace().map_err(|source| Error::File { file: file.to_owned(), source })
}

fn folder_of(file: &Path) -> &Path {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    dir.unwrap_or_else(|| Path::new("."))
}

/// The name of the reason of a removal: UNFOLLOW, BLOCK or MUTE.
pub(super) fn removal(reason: i32) -> String {
    text::enum_name(reason, "REMOVED_REASON_", |reason: RemovedReason| reason.as_str_name())
}
