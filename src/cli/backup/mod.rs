//! `whimbrel backup`: backups of a running server, and what is done with them. Never restores one.

mod progress;
mod restore;

use std::num::NonZeroU64;

use clap::{Args, Subcommand};
pub(super) use progress::ByteProgress;
pub(super) use restore::RestoreArgs;
use serde_json::json;

use super::json::JsonLine;
use super::number::{self, counted, grouped};
use super::{Error, Output, ServerArgs};
use crate::backup::{self, Destination, Manifest, TakeOptions};
use crate::runtime::Clock;

/// Back up the log of a running server into a folder or a bucket.
///
/// Everything that a server knows is in its log. Each backup is whole by itself, and reads only what the
/// destination lacks. The server goes on meanwhile: the backup is the log as it was when it began, or
/// later. With authentication it needs an API key of the role `admin`. Keys, certificates and settings are
/// not in the log: keep them elsewhere.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct BackupArgs {
    /// Where to keep it: a folder, which is created, or s3://BUCKET/PREFIX with the variables AWS_… for
    /// the region, the endpoint and the credentials.
    #[arg(long, value_name = "DEST", required = true)]
    to: Option<Destination>,
    /// Read at most so many MiB a second from the server.
    #[arg(long, value_name = "MIB", value_parser = number::at_least(1_u32))]
    rate: Option<u32>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Option<BackupVerb>,
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// List the backups of a destination, the oldest first.
    List {
        /// Where they are.
        #[arg(long, value_name = "DEST")]
        at: Destination,
    },
    /// Check each byte of backups: that they can be restored.
    Check {
        /// Where they are.
        #[arg(long, value_name = "DEST")]
        at: Destination,
        /// Only the backup with this name, as `list` shows it.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove old backups, and the segments that no other one needs.
    Prune {
        /// Where they are.
        #[arg(long, value_name = "DEST")]
        at: Destination,
        /// The number of newest backups to keep.
        #[arg(long, value_name = "N", value_parser = number::at_least(1_usize))]
        keep: usize,
    },
}

impl BackupArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match (self.verb, self.to) {
            (Some(BackupVerb::List { at }), _) => list(&at, output).await,
            (Some(BackupVerb::Check { at, name }), _) => check(&at, name.as_deref(), output).await,
            (Some(BackupVerb::Prune { at, keep }), _) => prune(&at, keep, output).await,
            (None, Some(to)) => take(&self.server, &to, self.rate, output).await,
            (None, None) => Err(Error::Usage("give --to DEST".to_owned())),
        }
    }
}

async fn take(
    server: &ServerArgs,
    to: &Destination,
    rate: Option<u32>,
    output: &Output,
) -> Result<(), Error> {
    let client = server.connect().await?;
    let progress = ByteProgress::new("reading the log", *output);
    let bytes_per_second_max = rate.and_then(|mib| NonZeroU64::new(u64::from(mib) << 20));
    let options = TakeOptions { bytes_per_second_max };
    let mut shown = |at: backup::TakeProgress| progress.show(at.bytes_read, at.bytes_all);
    let taken = backup::take(&client, to, options, &Clock::system(), &mut shown).await;
    progress.end();
    let taken = taken?;
    let (manifest, name) = (&taken.manifest, taken.manifest.name());
    output.print(
        || {
            format!(
                "backup {name} in {to}: {} of the log {}, {} bytes in {}; new were {} bytes in {}",
                counted(manifest.revision, "event"),
                manifest.log_id,
                grouped(manifest.bytes()),
                counted(manifest.segments.len() as u64, "segment"),
                grouped(taken.bytes_new),
                counted(taken.segments_new, "segment"),
            )
        },
        || {
            let mut line = described(manifest);
            line["newSegments"] = json!(taken.segments_new);
            line["newBytes"] = json!(taken.bytes_new);
            JsonLine("backup", line)
        },
    )
}

async fn list(at: &Destination, output: &Output) -> Result<(), Error> {
    for manifest in backup::manifests(at).await? {
        output.print(
            || {
                let events = counted(manifest.revision, "event");
                let bytes = grouped(manifest.bytes());
                format!("{}  {events}, {bytes} bytes, log {}", manifest.name(), manifest.log_id)
            },
            || JsonLine("backup", described(&manifest)),
        )?;
    }
    Ok(())
}

async fn check(at: &Destination, name: Option<&str>, output: &Output) -> Result<(), Error> {
    let progress = ByteProgress::new("checking", *output);
    let checked = backup::check(at, name, &mut |report| progress.show(report.bytes, 0)).await;
    progress.end();
    let report = checked?;
    if !report.problems.is_empty() {
        return Err(Error::NotAllDone(report.problems.join("; ")));
    }
    output.print(
        || {
            let (backups, segments) =
                (counted(report.backups, "backup"), counted(report.segments, "segment"));
            format!("no damage: {backups}, {segments}, {} bytes", grouped(report.bytes))
        },
        || {
            let (backups, segments, bytes) = (report.backups, report.segments, report.bytes);
            let line = json!({ "backups": backups, "segments": segments, "bytes": bytes });
            JsonLine("checkedBackups", line)
        },
    )
}

async fn prune(at: &Destination, keep: usize, output: &Output) -> Result<(), Error> {
    let pruned = backup::prune(at, keep, &Clock::system()).await?;
    output.print(
        || {
            let backups = counted(pruned.backups.len() as u64, "backup");
            format!("removed {backups} and {}", counted(pruned.segments, "segment"))
        },
        || {
            let line = json!({ "backups": pruned.backups, "segments": pruned.segments });
            JsonLine("pruned", line)
        },
    )
}

/// A backup for machines.
fn described(manifest: &Manifest) -> serde_json::Value {
    json!({
        "name": manifest.name(),
        "time": manifest.time,
        "logId": manifest.log_id,
        "revision": manifest.revision,
        "chain": manifest.chain,
        "segments": manifest.segments.len(),
        "bytes": manifest.bytes(),
    })
}
