//! `whimbrel restore`: a data folder out of a backup. Never overwrites one.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::ByteProgress;
use crate::backup::{self, Destination, RestoreUntil};
use crate::cli::json::JsonLine;
use crate::cli::number::{self, counted};
use crate::cli::{Error, Output};
use crate::model::{Revision, Timestamp};

/// Restore a backup into an empty data folder.
///
/// Checks each byte before it is used. A server that starts on the folder begins a new history of the same
/// log: what clients hold from after the restored end is refused with HISTORY_LOST. An interrupted restore
/// leaves a folder that no server opens; run it again.
#[derive(Args, Debug)]
pub(in crate::cli) struct RestoreArgs {
    /// Where the backups are.
    #[arg(long, value_name = "DEST")]
    from: Destination,
    /// The backup, as `whimbrel backup list` names it; the newest, if not given.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Restore up to this revision only.
    #[arg(long, value_name = "REVISION", value_parser = number::at_least(1_u64))]
    revision: Option<u64>,
    /// Restore what came up to this time only, such as 2026-11-27T08:30:00Z: all before the first
    /// event with a later time.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "revision")]
    time: Option<Timestamp>,
    /// The data folder: empty, or not there.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
}

impl RestoreArgs {
    pub(in crate::cli) async fn run(self, output: &Output) -> Result<(), Error> {
        let until = match (self.revision, self.time) {
            (Some(revision), _) => RestoreUntil::Revision(Revision::new(revision)),
            (None, Some(time)) => RestoreUntil::Time(time),
            (None, None) => RestoreUntil::End,
        };
        let progress = ByteProgress::new("restoring", *output);
        let mut show = |done, all| progress.show(done, all);
        let restored =
            backup::restore(&self.from, self.backup.as_deref(), until, &self.data, &mut show).await;
        progress.end();
        let (manifest, restored) = restored?;
        output.print(
            || {
                let mut text = format!(
                    "restored {} of the backup {} into {}: log {}, chain {}",
                    counted(restored.head.get(), "event"),
                    manifest.name(),
                    self.data.display(),
                    restored.id,
                    restored.chain
                );
                if restored.deleted > 0 {
                    let posts = counted(restored.deleted, "post");
                    text += &format!(
                        "\n{posts} had lost their content since, and are deleted at the end"
                    );
                }
                text
            },
            || {
                let line = json!({
                    "backup": manifest.name(),
                    "logId": restored.id.to_string(),
                    "revision": restored.head.get(),
                    "chain": restored.chain.to_string(),
                    "segments": restored.segments,
                    "bytes": restored.bytes,
                    "deletedPosts": restored.deleted,
                });
                JsonLine("restored", line)
            },
        )
    }
}

fn parse_time(given: &str) -> Result<Timestamp, String> {
    let rule = || "give a time such as 2026-11-27T08:30:00Z".to_owned();
    let time: prost_types::Timestamp = given.parse().map_err(|_| rule())?;
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    u64::try_from(nanos).map(Timestamp::from_nanos).map_err(|_| rule())
}
