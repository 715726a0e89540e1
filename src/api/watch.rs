//! Opens and ends live streams, shared by all watch RPCs. Never makes an event.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio_stream::Stream;
use tonic::Status;

use super::caller::{CallerEnd, StreamEnds};
use super::context::ServiceContext;
use super::metrics::{ApiMetrics, StreamEnd};
use super::nodes::Nodes;
use super::stream_responses::{self, StreamResponse};
use super::v1::{ErrorReason, GapPolicy, StreamSnapshot};
use super::{fields, status};
use crate::auth::EndCause;
use crate::live::{self, LiveStream, Start, StreamMessage, WatchOptions, Watched};
use crate::model::{Epochs, UserId};
use crate::runtime::CallContext;

/// The fields that the requests of all watch RPCs share.
#[derive(Debug)]
pub(super) struct WatchFields {
    /// `None` starts with the next event.
    pub(super) start: Option<StartField>,
    pub(super) heartbeat: Option<prost_types::Duration>,
    pub(super) gap_policy: i32,
}

/// The `start` of a request, not yet validated.
#[derive(Debug)]
pub(super) enum StartField {
    After(String),
    Snapshot(StreamSnapshot),
}

/// Opens a stream for `user`. It ends with its connection or its caller.
pub(super) fn open<R: StreamResponse>(
    context: &ServiceContext,
    user: &UserId,
    of: Watched,
    request: WatchFields,
    ends: StreamEnds,
) -> Result<Messages<R>, Status> {
    let limits = &context.limits;
    let start = match request.start {
        None => Start::Now,
        Some(StartField::After(text)) => match fields::cursor("after_cursor", &text, context)? {
            Ok(cursor) => Start::After(cursor),
            Err(refused) => Start::AfterRefused(refused),
        },
        Some(StartField::Snapshot(snapshot)) => Start::Snapshot {
            items_max: fields::items_max(
                "snapshot.limit",
                snapshot.limit,
                limits.page_items_default,
                limits.page_items_max,
            )?,
        },
    };
    let reset_items = resets_on_gap(request.gap_policy)?.then_some(limits.page_items_default);
    let heartbeat = fields::heartbeat("heartbeat", request.heartbeat, limits)?;
    let options = WatchOptions { of, heartbeat, reset_items };
    let live = context
        .engine
        .watch(user, start, options)
        .map_err(|error| status::from_live(error, &context.epochs))?;
    let StreamEnds { closer, caller } = ends;
    let live = match &closer {
        Some(closer) => live.until(closer.retirement().clone()),
        None => live,
    };
    Ok(Messages::of(live, caller, context))
}

/// What comes next in a stream.
enum LiveMessage {
    /// A message of the feed, or its end.
    Of(Option<StreamMessage>),
    CallerEnded(EndCause),
}

/// The messages of a stream. Every end that the server makes is an error.
#[derive(Debug)]
pub(super) struct Messages<R> {
    live: LiveStream,
    /// `None` if the server does not ask who calls.
    caller: Option<CallerEnd>,
    epochs: Epochs,
    /// The other nodes of the log, if it is shared.
    nodes: Option<Nodes>,
    /// The error after the last message.
    end: Option<Status>,
    has_ended: bool,
    metrics: ApiMetrics,
    ended_by: StreamEnd,
    responses: PhantomData<fn() -> R>,
}

impl<R> Messages<R> {
    fn of(live: LiveStream, caller: Option<CallerEnd>, context: &ServiceContext) -> Self {
        Self {
            live,
            caller,
            epochs: context.epochs.clone(),
            nodes: context.nodes.clone(),
            end: None,
            has_ended: false,
            metrics: context.metrics.clone(),
            ended_by: StreamEnd::Client,
            responses: PhantomData,
        }
    }

    /// Waits for the next message of the feed, or for the end of the caller.
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Result<LiveMessage, live::Error>> {
        let Some(caller) = &mut self.caller else {
            return self.live.poll_next(cx).map_ok(LiveMessage::Of);
        };
        // Also of a stream that always has a message.
        if let Some(cause) = caller.cause() {
            return Poll::Ready(Ok(LiveMessage::CallerEnded(cause)));
        }
        match self.live.poll_next(cx) {
            Poll::Pending => {
                ready!(caller.poll(cx));
                // Ended without a cause would be a stream that never ends.
                let cause = caller.cause().unwrap_or(EndCause::Revoked);
                Poll::Ready(Ok(LiveMessage::CallerEnded(cause)))
            }
            polled => polled.map_ok(LiveMessage::Of),
        }
    }
}

impl<R> Drop for Messages<R> {
    fn drop(&mut self) {
        self.metrics.stream_ended(self.ended_by);
    }
}

impl<R: StreamResponse> Stream for Messages<R> {
    type Item = Result<R, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<R, Status>>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(this.end.take().map(Err));
        }
        let polled = ready!(this.poll_live(cx));
        let epochs = &this.epochs;
        Poll::Ready(match polled {
            Ok(LiveMessage::CallerEnded(cause)) => {
                let closing = stream_responses::closing(
                    status::reason_of_end(cause),
                    &this.live.cursor(),
                    epochs,
                    String::new(),
                );
                (this.end, this.has_ended) = (Some(status::from_end(cause)), true);
                this.ended_by = StreamEnd::Caller;
                Some(Ok(R::from_common(closing)))
            }
            Ok(LiveMessage::Of(Some(message))) => {
                if matches!(message, StreamMessage::CaughtUp { .. })
                    && let Some(call) = CallContext::current()
                {
                    call.is_live();
                }
                if let StreamMessage::Closing { cursor } = &message {
                    (this.end, this.has_ended) = (Some(status::draining()), true);
                    this.ended_by = StreamEnd::Retirement;
                    let other = this.nodes.as_ref().and_then(Nodes::other_address);
                    let (reason, other) = (ErrorReason::Draining, other.unwrap_or_default());
                    let closing = stream_responses::closing(reason, cursor, epochs, other);
                    return Poll::Ready(Some(Ok(R::from_common(closing))));
                }
                Some(Ok(R::new(message, epochs)))
            }
            Ok(LiveMessage::Of(None)) => {
                this.has_ended = true;
                None
            }
            Err(error) => {
                let cursor = this.live.cursor();
                let (reason, other) = (ErrorReason::Internal, String::new());
                let closing = stream_responses::closing(reason, &cursor, epochs, other);
                (this.end, this.has_ended) = (Some(status::from_live(error, epochs)), true);
                this.ended_by = StreamEnd::Failure;
                Some(Ok(R::from_common(closing)))
            }
        })
    }
}

/// Whether a stream whose cursor cannot be served starts again with a snapshot.
fn resets_on_gap(gap_policy: i32) -> Result<bool, Status> {
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
