//! A new node of a log gets it from another one, file by file, so that PostgreSQL is asked for the end only. What cannot be
//! had so comes from PostgreSQL, which has all. Never opens a log.

use std::path::Path;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::api::v1::{ListSegmentsRequest, LogSegment, ReadSegmentRequest};
use crate::client::{self, Client, ConnectOptions, TokenSource};
use crate::model::Revision;
use crate::storage::{self, CheckedCopy, LogRestore, NodeRecord, RestoredLog, Roster};

/// Between two lines about how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is begun: the other node may write a file again meanwhile, as posts are erased.
const TRIES_MAX: usize = 3;

/// Why the log does not come from another node.
#[derive(Debug, thiserror::Error)]
enum SeedError {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error("cannot wait for it: {0}")]
    Runtime(#[from] std::io::Error),
}

/// How other nodes are reached.
#[derive(Clone, Debug)]
pub(super) struct Seeding {
    pub(super) options: ConnectOptions,
    /// Where this node was before, which other nodes may not know to have ended yet.
    pub(super) own_address: Option<String>,
}

/// Fills the data folder `dir`, which has no log, from a node that runs, if there is one. Blocks the thread.
pub(super) fn seed(dir: &Path, roster: &mut dyn Roster, seeding: &Seeding) {
    // What an earlier start left: without another node all comes from PostgreSQL.
    abandon(dir);
    let nodes = match roster.running() {
        Ok(nodes) => nodes,
        // Opening the log meets the same.
        Err(_) => return,
    };
    for node in nodes.into_iter().filter(|node| node.address != seeding.own_address) {
        let Some(address) = node.address.clone() else { continue };
        for _ in 0..TRIES_MAX {
            match copy(dir, &node, &address, &seeding.options) {
                Ok(RestoredLog { head, bytes, .. }) => {
                    tracing::info!(node = address, %head, bytes, "the log was copied from another node");
                    return;
                }
                Err(error) => {
                    tracing::warn!(node = address, %error, "the log cannot be copied from another node");
                    abandon(dir);
                    // Only another file is worth another try.
                    if !matches!(
                        error,
                        SeedError::Client(client::Error::Call(_)) | SeedError::Storage(_)
                    ) {
                        break;
                    }
                }
            }
        }
    }
}

fn abandon(dir: &Path) {
    if let Err(error) = LogRestore::abandon(dir) {
        tracing::warn!(%error, "what was copied cannot be removed");
    }
}

fn copy(
    dir: &Path,
    node: &NodeRecord,
    address: &str,
    options: &ConnectOptions,
) -> Result<RestoredLog, SeedError> {
    let token = Some(TokenSource::Text(Zeroizing::new(node.key.token())));
    let options = ConnectOptions { token, ..options.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut restore = LogRestore::begin_copy(dir)?;
    runtime.block_on(async {
        let client = Client::connect_with(address, &options).await?;
        let segments = client.list_segments(ListSegmentsRequest {}).await?.segments;
        let all: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let (mut done, mut reported_at) = (0, Instant::now());
        for segment in segments {
            let bytes = read(&client, &segment).await?;
            done += bytes.len() as u64;
            let name = dir.join(format!("segment {}", segment.number));
            restore.add(&CheckedCopy::new(&name, bytes)?, Revision::MAX)?;
            if reported_at.elapsed() >= PROGRESS_INTERVAL {
                tracing::info!(
                    node = address,
                    bytes = done,
                    of = all,
                    "copying the log from another node"
                );
                reported_at = Instant::now();
            }
        }
        Ok::<_, SeedError>(())
    })?;
    Ok(restore.finish()?)
}

/// All bytes of a segment.
async fn read(client: &Client, segment: &LogSegment) -> Result<Vec<u8>, client::Error> {
    let mut bytes = Vec::new();
    let request = ReadSegmentRequest { segment_id: segment.segment_id.clone() };
    let mut pieces = client.read_segment(request).await?;
    while let Some(piece) = pieces.next().await? {
        bytes.extend_from_slice(&piece.data);
        if bytes.len() as u64 > segment.bytes {
            break;
        }
    }
    // One of another length fails its check.
    Ok(bytes)
}
