//! All events of a running server, by its segments. Never keeps more than one segment.

use std::path::Path;
use std::time::Duration;

use super::Error;
use crate::api::v1;
use crate::client::{self, Client, Retry};
use crate::model::{Event, Revision};
use crate::storage::{self, CheckedCopy};

/// How long a call is retried: a server that restarts is back within this time.
const RETRY_TIME: Duration = Duration::from_secs(60);
/// How often a segment may be replaced before it is read. A compaction replaces each once at most.
const LISTS_MAX: u32 = 1_000;

/// Passes all events up to the newest of now to `each`, in order.
///
/// # Errors
/// The server cannot be reached or its log is damaged, or the first error of `each`.
pub async fn events_of<E: From<Error>>(
    client: &Client,
    each: &mut dyn FnMut(Revision, Event) -> Result<(), E>,
) -> Result<(), E> {
    let list = listed(client).await?;
    for segment in &list.segments {
        let copy = read(client, segment).await?;
        let (_, first, last, _) = copy.place();
        // Of a segment that was replaced, there may be more by now.
        let last = last.get().min(list.revision);
        for revision in (first.get()..=last).map(Revision::new) {
            let event = copy.event(revision).map_err(|what| Error::NotAsListed { what })?;
            each(revision, event)?;
        }
    }
    Ok(())
}

async fn listed(client: &Client) -> Result<v1::ListSegmentsResponse, Error> {
    let retry = Retry::within(RETRY_TIME);
    Ok(retry.call(|| client.list_segments(v1::ListSegmentsRequest {})).await?)
}

/// Reads a segment, or what has replaced it.
async fn read(client: &Client, listed_before: &v1::LogSegment) -> Result<CheckedCopy, Error> {
    let mut segment = listed_before.clone();
    let mut retry = Retry::within(RETRY_TIME);
    for _ in 0..LISTS_MAX {
        match try_read(client, &segment).await {
            Err(client::Error::Call(call)) if call.reason == "SEGMENT_REPLACED" => {
                let list = listed(client).await?;
                let found = list.segments.into_iter().find(|it| it.number == segment.number);
                segment = found.ok_or_else(|| Error::NotAsListed {
                    what: format!("its segment {} is gone", segment.number),
                })?;
            }
            Err(error) => retry.wait(error).await?,
            Ok(bytes) => {
                let name = format!("segment {}", segment.number);
                let check = move || CheckedCopy::new(Path::new(&name), bytes);
                let copy = match tokio::task::spawn_blocking(check).await {
                    Ok(copy) => copy.map_err(|error| match error {
                        error @ storage::Error::OtherFormat { .. } => Error::Log(error),
                        error => Error::NotAsListed { what: error.to_string() },
                    })?,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                };
                let (_, first, last, chain) = copy.place();
                let is_it = first.get() == segment.first_revision
                    && last.get() == segment.last_revision
                    && chain.to_string() == segment.chain;
                let what = || format!("segment {} has other events", segment.number);
                return if is_it { Ok(copy) } else { Err(Error::NotAsListed { what: what() }) };
            }
        }
    }
    Err(Error::AlwaysReplaced { times: LISTS_MAX })
}

async fn try_read(client: &Client, segment: &v1::LogSegment) -> Result<Vec<u8>, client::Error> {
    let segment_id = segment.segment_id.clone();
    let mut stream = client.read_segment(v1::ReadSegmentRequest { segment_id }).await?;
    let mut bytes = Vec::new();
    while let Some(v1::ReadSegmentResponse { data }) = stream.next().await? {
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
