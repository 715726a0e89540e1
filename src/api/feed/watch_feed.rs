//! The WatchFeed RPC. Never makes an event.

use tonic::Status;

use crate::api::caller::StreamEnds;
use crate::api::context::ServiceContext;
use crate::api::fields;
use crate::api::shared_response::SharedFeedResponse;
use crate::api::v1::{self, watch_feed_request};
use crate::api::watch::{self, Messages, StartField, WatchFields};
use crate::live::Watched;

pub(super) type FeedMessages = Messages<SharedFeedResponse>;

/// Opens a stream of messages. It ends with what `ends` says.
pub(super) fn handle(
    context: &ServiceContext,
    request: v1::WatchFeedRequest,
    ends: StreamEnds,
) -> Result<FeedMessages, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let fields = WatchFields {
        start: request.start.map(|start| match start {
            watch_feed_request::Start::AfterCursor(text) => StartField::After(text),
            watch_feed_request::Start::Snapshot(snapshot) => StartField::Snapshot(snapshot),
        }),
        heartbeat: request.heartbeat,
        gap_policy: request.gap_policy,
    };
    let of = Watched::Feed { all_replies: request.include_all_replies };
    watch::open(context, &user, of, fields, ends)
}
