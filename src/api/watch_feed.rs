//! The WatchFeed RPC.

use std::pin::Pin;

use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::frame::Frame;
use super::v1::watch_feed_request;
use super::v1::{self, ErrorReason, GapPolicy};
use super::{convert, fields, status};
use crate::config::Limits;
use crate::engine::Engine;
use crate::hub::{LiveStream, Start, Step, WatchOptions, Watched};

/// The messages of a stream.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// Opens a stream of messages, which is ended when `until` is cancelled. It never ends without an
/// error.
pub(super) fn handle(
    engine: &Engine,
    limits: &Limits,
    request: v1::WatchFeedRequest,
    until: Option<CancellationToken>,
) -> Result<Messages, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let start = match request.start {
        None => Start::Now,
        Some(watch_feed_request::Start::AfterCursor(text)) => {
            Start::After(fields::cursor("after_cursor", &text)?)
        }
        Some(watch_feed_request::Start::Snapshot(snapshot)) => Start::Snapshot {
            items_max: fields::items_max(
                "snapshot.limit",
                snapshot.limit,
                limits.page_items_default,
                limits.page_items_max,
            )?,
        },
    };
    let reset_items = match GapPolicy::try_from(request.gap_policy) {
        Ok(GapPolicy::Unspecified | GapPolicy::Fail) => None,
        Ok(GapPolicy::Reset) => Some(limits.page_items_default),
        Err(_) => {
            let rule = format!(
                "has no value {}: use GAP_POLICY_FAIL or GAP_POLICY_RESET",
                request.gap_policy
            );
            return Err(status::invalid_field(
                "gap_policy",
                rule,
                vec![("value", request.gap_policy.to_string())],
            ));
        }
    };
    let heartbeat = fields::heartbeat("heartbeat", request.heartbeat, limits)?;

    let options = WatchOptions { of: Watched::Feed { all_replies: false }, heartbeat, reset_items };
    let live = engine.watch(&user, start, options).map_err(status::of_engine)?;
    let live = match until {
        Some(token) => live.until(token),
        None => live,
    };
    Ok(Box::pin(messages(live)))
}

fn messages(mut live: LiveStream) -> impl Stream<Item = Result<Frame, Status>> {
    async_stream::stream! {
        loop {
            match live.next().await {
                Ok(Some(step @ Step::Closing { .. })) => {
                    yield Ok(step.into());
                    yield Err(status::draining());
                    return;
                }
                Ok(Some(step)) => yield Ok(step.into()),
                Ok(None) => return,
                Err(error) => {
                    let cursor = live.cursor();
                    let reason = ErrorReason::Internal;
                    yield Ok(Frame::Other(convert::closing(reason, &cursor, status::DRAIN_DELAY)));
                    yield Err(status::of_hub(&error));
                    return;
                }
            }
        }
    }
}
