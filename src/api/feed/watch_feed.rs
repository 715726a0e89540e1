//! The WatchFeed RPC.

use std::pin::Pin;

use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::api::calls::Calls;
use crate::api::fields;
use crate::api::frame::Frame;
use crate::api::v1::{self, watch_feed_request};
use crate::api::watching::{self, Asked, From};
use crate::live::Watched;

/// The messages of a stream.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// Opens a stream of messages, which is ended when `until` is cancelled.
pub(super) fn handle(
    calls: &Calls,
    request: v1::WatchFeedRequest,
    until: Option<CancellationToken>,
) -> Result<Messages, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let asked = Asked {
        from: request.start.map(|start| match start {
            watch_feed_request::Start::AfterCursor(text) => From::After(text),
            watch_feed_request::Start::Snapshot(snapshot) => From::Snapshot(snapshot),
        }),
        heartbeat: request.heartbeat,
        gap_policy: request.gap_policy,
    };
    let of = Watched::Feed { all_replies: request.include_all_replies };
    Ok(Box::pin(watching::messages(watching::open(calls, &user, of, asked, until)?)))
}
