//! `whimbrel check`: the log and the index of a data folder, and whether a server has the same log. Never
//! changes a file of them, and never stops a server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::check_index::{self, FolderIndex, FolderIndexCheck};
use super::context::{Connecting, TargetServer};
use super::credentials::CredentialArgs;
use super::json::JsonLine;
use super::number::{self, counted, grouped};
use super::tls::ClientTlsArgs;
use super::{CALL_RETRY_TIME, Error, Output};
use crate::api::v1;
use crate::client::{Addresses, Client, ConnectOptions, Retry};
use crate::model::{Chain, Event, Revision};
use crate::storage::{self, CheckedLog};

/// Time between two updates of the progress.
pub(super) const DRAW_INTERVAL: Duration = Duration::from_millis(200);
pub(super) const SPINNER: &str = "{msg:36} {spinner}";

/// Check the log and the index of a data folder, and compare the log with a server's.
///
/// Reads the whole log: the checks of all its parts, each event, that none is missing, and that
/// deleted posts are erased. It also works on the folder of a running server. If none uses the folder,
/// it locks it and compares each row of the index with what the log gives. It changes nothing. With the address of a server it compares the two histories: the same up to the end of the
/// shorter one, or up to which revision.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// The data folder, or a folder with a copy of its folder `log`.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
    /// Also print the chain of this revision.
    #[arg(long, value_name = "REVISION", value_parser = number::at_least(1_u64))]
    revision: Option<u64>,
    /// A server to compare with: host:port, or https://host:port for TLS.
    #[arg(long, env = "WHIMBREL_ADDR", value_name = "URL")]
    addr: Option<Addresses>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
}

/// The history of a server's log next to that of a folder.
#[derive(Debug)]
struct Comparison {
    /// The id of the server's log.
    log_id: String,
    /// The newest revision of the server.
    newest: u64,
    /// The revision that was compared: the last that both have.
    revision: u64,
    /// The last revision up to which both have the same history.
    same_until: u64,
    is_same: bool,
    is_other_log: bool,
}

impl CheckArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        // First: else a long check would come before the error.
        let client = match &self.addr {
            Some(address) => {
                let target =
                    TargetServer { address: address.clone(), context: Connecting::default() };
                let token = self.credentials.source(&target)?;
                let options = ConnectOptions { token, ..self.tls.options(&target.context)? };
                Some(Client::connect_with(&address.to_string(), &options).await?)
            }
            None => None,
        };
        let (checked, index) = check(self.data.clone(), *output).await?;
        let chain_at = match self.revision.map(Revision::new) {
            Some(revision) => Some((revision, chain_at(&self.data, &checked, revision)?)),
            None => None,
        };
        print_checked(*output, &checked, &index, chain_at)?;
        let mut problems = Vec::new();
        problems.extend(index_problem(&index));
        if let Some(found) = checked.not_erased {
            let posts = counted(found.posts, "deleted post");
            problems.push(format!(
                "{posts} should be erased, and their content is there, the first at revision {}: \
                 an older copy of a part of the log was put back; put back a copy of the whole log",
                found.first
            ));
        }
        if let Some(client) = client {
            let comparison = compare(&self.data, &checked, &client).await?;
            print_comparison(*output, &comparison)?;
            problems.extend(comparison.problem(&checked));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::NotAllDone(problems.join("; "))) }
    }
}

/// Checks the log and the index, on another thread: a connection goes on meanwhile.
async fn check(data: PathBuf, output: Output) -> Result<(CheckedLog, FolderIndex), Error> {
    let bar = check_index::spinner(output);
    let shown = bar.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let mut index = FolderIndexCheck::begin(&data);
        let mut progress = |revision: Revision| {
            shown.set_message(format!("checked: {}", counted(revision.get(), "event")));
        };
        let mut each = |revision, event: Event| index.apply(revision, &event);
        let checked = storage::check_events(&data, &mut progress, &mut each)?;
        let mut progress = |rows| shown.set_message(format!("checked: {}", counted(rows, "row")));
        let index = index.finish(&data, &checked, &mut progress)?;
        Ok::<_, storage::Error>((checked, index))
    });
    let checked = checked.await;
    bar.finish_and_clear();
    match checked {
        Ok(checked) => Ok(checked?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The chain of a log that was checked.
fn chain_at(data: &Path, checked: &CheckedLog, revision: Revision) -> Result<Chain, Error> {
    if revision == checked.head {
        return Ok(checked.chain);
    }
    let chain = if revision > checked.head { None } else { storage::read_chain(data, revision)? };
    chain.ok_or_else(|| {
        let head = checked.head;
        Error::NotAllDone(format!("the log has no revision {revision}: its last is {head}"))
    })
}

/// Compares the histories at the last revision that both have. If they differ there, finds the last
/// one at which they do not, with one call for each halving.
async fn compare(data: &Path, checked: &CheckedLog, client: &Client) -> Result<Comparison, Error> {
    let newest = server_chain(client, 0).await?;
    let revision = newest.revision.min(checked.head.get());
    let is_other_log = newest.log_id != checked.id.to_string();
    let (log_id, newest) = (newest.log_id, newest.revision);
    let (same_until, is_same) = (0, false);
    let comparison = Comparison { log_id, newest, revision, same_until, is_same, is_other_log };
    if is_other_log {
        return Ok(comparison);
    }
    let (mut same, mut next) = (0, revision);
    // The first step looks at the end, the others halve what is left.
    while same < next {
        let is_end = next == revision && same == 0;
        let middle = if is_end { revision } else { same.midpoint(next + 1) };
        let own = chain_at(data, checked, Revision::new(middle))?;
        if server_chain(client, middle).await?.chain == own.to_string() {
            same = middle;
        } else {
            next = middle - 1;
        }
    }
    Ok(Comparison { same_until: same, is_same: same == revision, ..comparison })
}

async fn server_chain(client: &Client, revision: u64) -> Result<v1::GetChainResponse, Error> {
    let request = v1::GetChainRequest { revision };
    let call = || client.get_chain(request);
    Ok(Retry::within(CALL_RETRY_TIME).call(call).await?)
}

impl Comparison {
    /// Why the two are not the same.
    fn problem(&self, checked: &CheckedLog) -> Option<String> {
        if self.is_other_log {
            let (theirs, own) = (&self.log_id, checked.id);
            return Some(format!("the server has another log ({theirs}, this is {own})"));
        }
        let until = self.same_until;
        (!self.is_same).then(|| format!("the server has another history after revision {until}"))
    }
}

/// What is wrong with the index.
fn index_problem(index: &FolderIndex) -> Option<String> {
    let what = match index {
        FolderIndex::Missing
        | FolderIndex::InUse
        | FolderIndex::OfAnotherVersion(_)
        | FolderIndex::Checked { .. } => return None,
        FolderIndex::Wrong(error) => error.to_string(),
        FolderIndex::OfAnother => "index.redb was made from another log or history".to_owned(),
    };
    Some(format!("{what}; remove index.redb, and the next start rebuilds it from the log"))
}

fn print_checked(
    output: Output,
    checked: &CheckedLog,
    index: &FolderIndex,
    chain_at: Option<(Revision, Chain)>,
) -> Result<(), Error> {
    print_notes(output, checked, index);
    let CheckedLog { id, head, chain, erased_until, torn_bytes, .. } = checked;
    let at = chain_at.filter(|(revision, _)| revision != head);
    output.print(
        || {
            let events = counted(head.get(), "event");
            let segments = counted(checked.segments, "segment");
            let (bytes, epochs) = (grouped(checked.bytes), counted(checked.epochs, "epoch"));
            let mut text = format!("log {id}: no damage");
            text += &format!("\n{events} in {segments}, {bytes} bytes, {epochs}");
            text += &format!("\nchain of revision {head}: {chain}");
            if let Some((revision, chain)) = at {
                text += &format!("\nchain of revision {revision}: {chain}");
            }
            if *erased_until > Revision::ZERO && checked.not_erased.is_none() {
                text +=
                    &format!("\nposts that were deleted up to revision {erased_until} are erased");
            }
            if let FolderIndex::Checked { rows, until } = index {
                text += &format!("\n{}", check_index::described(*rows, *until));
            }
            text
        },
        || {
            let mut all = json!({
                "logId": id.to_string(),
                "revision": head.get(),
                "chain": chain.to_string(),
                "erasedUntil": erased_until.get(),
                "segments": checked.segments,
                "bytes": checked.bytes,
                "epochs": checked.epochs,
                "tornBytes": torn_bytes,
            });
            if let Some(found) = checked.not_erased {
                all["notErased"] = json!({ "posts": found.posts, "first": found.first.get() });
            }
            if let FolderIndex::Checked { rows, until } = index {
                all["index"] = json!({ "revision": until.get(), "rows": rows });
            }
            if let Some((revision, chain)) = chain_at {
                let chain = chain.to_string();
                all["chainAt"] = json!({ "revision": revision.get(), "chain": chain });
            }
            JsonLine("checked", all)
        },
    )
}

fn print_comparison(output: Output, comparison: &Comparison) -> Result<(), Error> {
    let Comparison { log_id, newest, revision, same_until, is_same, is_other_log } = comparison;
    output.print(
        || match is_other_log {
            true => format!("the server has the log {log_id}, at revision {newest}"),
            false => format!(
                "the server is at revision {newest}; the histories are the same up to revision \
                 {same_until}"
            ),
        },
        || {
            let all = json!({
                "logId": log_id,
                "newestRevision": newest,
                "comparedRevision": revision,
                "isSame": is_same,
                "sameUntil": same_until,
            });
            JsonLine("compared", all)
        },
    )
}

/// What is no damage, and was not checked.
fn print_notes(output: Output, checked: &CheckedLog, index: &FolderIndex) {
    let CheckedLog { head, torn_bytes, .. } = checked;
    if *torn_bytes > 0 {
        output.note(&format!(
            "after revision {head} are {} of a batch that is not complete: it is being written, or a \
             power cut came before it was acknowledged",
            counted(*torn_bytes, "byte")
        ));
    }
    match index {
        FolderIndex::InUse => output.note(
            "a server uses the folder, so its index was not checked: `whimbrel check-index` has the \
             server check it",
        ),
        // No damage: an upgrade or the way back from one makes it so.
        FolderIndex::OfAnotherVersion(error) => {
            output.note(&format!("the index was not checked: {error}"));
        }
        _ => {}
    }
}
