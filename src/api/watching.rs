//! Live streams, whatever is watched: where they start, how they behave, and how they end.

use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::Calls;
use super::steps::{self, Message};
use super::v1::watch_feed_request::Snapshot;
use super::v1::{ErrorReason, GapPolicy};
use super::{fields, status};
use crate::live::{LiveStream, Start, StreamMessage, WatchOptions, Watched};
use crate::model::UserId;

/// What a request asks of a stream.
#[derive(Debug)]
pub(super) struct Asked {
    /// `None` for from now on.
    pub(super) from: Option<From>,
    pub(super) heartbeat: Option<prost_types::Duration>,
    pub(super) gap_policy: i32,
}

/// Where a stream starts.
#[derive(Debug)]
pub(super) enum From {
    After(String),
    Snapshot(Snapshot),
}

/// Opens a stream of `user`'s, which is ended when `until` is cancelled.
pub(super) fn open(
    calls: &Calls,
    user: &UserId,
    of: Watched,
    asked: Asked,
    until: Option<CancellationToken>,
) -> Result<LiveStream, Status> {
    let limits = &calls.limits;
    let start = match asked.from {
        None => Start::Now,
        Some(From::After(text)) => Start::After(fields::cursor("after_cursor", &text)?),
        Some(From::Snapshot(snapshot)) => Start::Snapshot {
            items_max: fields::items_max(
                "snapshot.limit",
                snapshot.limit,
                limits.page_items_default,
                limits.page_items_max,
            )?,
        },
    };
    let reset_items = resets(asked.gap_policy)?.then_some(limits.page_items_default);
    let heartbeat = fields::heartbeat("heartbeat", asked.heartbeat, limits)?;
    let options = WatchOptions { of, heartbeat, reset_items };
    let live = calls.engine.watch(user, start, options).map_err(status::of_engine)?;
    Ok(match until {
        Some(token) => live.until(token),
        None => live,
    })
}

/// The messages of a stream. It never ends without an error.
pub(super) fn messages<M: Message>(mut live: LiveStream) -> impl Stream<Item = Result<M, Status>> {
    async_stream::stream! {
        loop {
            match live.next().await {
                Ok(Some(step @ StreamMessage::Closing { .. })) => {
                    yield Ok(step.into());
                    yield Err(status::draining());
                    return;
                }
                Ok(Some(step)) => yield Ok(step.into()),
                Ok(None) => return,
                Err(error) => {
                    let reason = ErrorReason::Internal;
                    yield Ok(M::of(steps::closing(reason, &live.cursor())));
                    yield Err(status::of_hub(&error));
                    return;
                }
            }
        }
    }
}

/// Whether a stream is to start over where its cursor cannot be served.
fn resets(gap_policy: i32) -> Result<bool, Status> {
    match GapPolicy::try_from(gap_policy) {
        Ok(GapPolicy::Unspecified | GapPolicy::Fail) => Ok(false),
        Ok(GapPolicy::Reset) => Ok(true),
        Err(_) => {
            let rule =
                format!("has no value {gap_policy}: use GAP_POLICY_FAIL or GAP_POLICY_RESET");
            Err(status::invalid_field("gap_policy", rule, vec![("value", gap_policy.to_string())]))
        }
    }
}
