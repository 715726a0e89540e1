//! Reads a request until its message has arrived whole, before the call takes a slot and a service
//! sees it. Counts what has arrived of it in the account of its connection meanwhile, and only for
//! so long. Never checks a frame itself.
//!
//! Most requests are whole when their headers are read, and cost nothing here.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::account::{Account, HeldRequest};
use super::framing::{CheckedBody, MessageCount};
use super::status;

thread_local! {
    /// Whether a request that is not whole was polled on this thread. A value of the thread, as the transport
    /// polls calls by futures of its own, which pass nothing back.
    static IS_AWAITED: Cell<bool> = const { Cell::new(false) };
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a request that has not arrived takes besides its bytes: a stream of the transport, and a
/// task.
const REQUEST_BYTES: usize = 4 << 10;

/// The body of a request. It passes on whole messages only, and counts the bytes of others.
#[derive(Debug)]
pub struct WholeBody<B> {
    /// `None` when it has ended.
    body: Option<CheckedBody<B>>,
    arrived: Arrived,
    /// Why the body has ended, if it is refused. A service may not look at it.
    error: Option<BoxError>,
    account: Account,
    head_bytes: usize,
    /// Once it had to wait.
    held: Option<HeldRequest>,
}

/// Polls a call, and says whether it waits for the rest of its request: then what wakes it next is its client,
/// or that the time for it is over.
pub fn poll_noting_arrival<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    IS_AWAITED.set(false);
    let polled = poll();
    (polled, IS_AWAITED.get())
}

/// The bytes that have arrived and were not passed on.
#[derive(Debug, Default)]
enum Arrived {
    #[default]
    Nothing,
    /// May be a part of a buffer of the transport.
    OneFrame(Bytes),
    Frames(BytesMut),
}

impl Arrived {
    fn add(&mut self, bytes: Bytes) {
        match self {
            Self::Nothing => *self = Self::OneFrame(bytes),
            Self::OneFrame(first) => {
                let mut all = BytesMut::with_capacity(first.len() + bytes.len());
                all.extend_from_slice(first);
                all.extend_from_slice(&bytes);
                *self = Self::Frames(all);
            }
            Self::Frames(all) => all.extend_from_slice(&bytes),
        }
    }

    /// Copies what has arrived, once, where it may be a part of a buffer of the transport: a few bytes
    /// that wait would keep all of that, uncounted.
    fn detach(&mut self) {
        if let Self::OneFrame(bytes) = self {
            *self = Self::Frames(BytesMut::from(&bytes[..]));
        }
    }

    fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::OneFrame(bytes) => Some(bytes),
            Self::Frames(all) => Some(all.freeze()),
        }
    }
}

/// The time that the rest of a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrivalTime {
    /// The limit of the server.
    pub(super) time_max: Duration,
    /// When it ends: not after the call's own time.
    pub(super) deadline: Instant,
}

impl<B> WholeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// `body`, of a request with `headers` on the connection of `account`.
    pub(super) fn new(body: CheckedBody<B>, headers: &HeaderMap, account: &Account) -> Self {
        let header_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        Self {
            body: Some(body),
            arrived: Arrived::Nothing,
            error: None,
            account: account.clone(),
            head_bytes: REQUEST_BYTES + header_bytes.sum::<usize>(),
            held: None,
        }
    }

    /// Waits until the request has arrived whole, if it has one message.
    ///
    /// # Errors
    /// It exceeds a limit of its connection, or has not arrived in `time`.
    pub(super) async fn arrives(&mut self, time: ArrivalTime) -> Result<(), Status> {
        if self.body.as_ref().is_none_or(|body| body.messages() == MessageCount::Many) {
            return Ok(());
        }
        let mut arriving = pin!(poll_fn(|cx| self.poll_arrived(cx)));
        // Once without a timer, which most requests do not need.
        match poll_fn(|cx| Poll::Ready(arriving.as_mut().poll(cx))).await {
            Poll::Ready(arrived) => arrived,
            Poll::Pending => timeout_at(time.deadline, arriving)
                .await
                .map_err(|_| status::request_too_slow(time.time_max))?,
        }
    }

    /// Counts the request as one that waits.
    ///
    /// # Errors
    /// It exceeds a limit of its connection.
    pub(super) fn hold(&mut self, received_bytes: usize) -> Result<(), Status> {
        self.arrived.detach();
        let held = self.held.get_or_insert_with(|| self.account.hold_request());
        held.grow_to(self.head_bytes + received_bytes).map_err(status::too_much_unfinished)
    }

    /// The bytes that have arrived and were not passed on.
    pub(super) fn arrived_bytes(&self) -> usize {
        match &self.arrived {
            Arrived::Nothing => 0,
            Arrived::OneFrame(bytes) => bytes.len(),
            Arrived::Frames(all) => all.len(),
        }
    }

    /// Counts the request no longer as one that waits.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// Reads until the body has ended; or, of one with many messages, until some are whole.
    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        while let Some(body) = &mut self.body {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // A gRPC request has no trailers, so others mean nothing.
                    if let Ok(bytes) = frame.into_data() {
                        self.arrived.add(bytes);
                    }
                    if body.messages() == MessageCount::Many && body.is_between_messages() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Some(Err(error))) => (self.body, self.error) = (None, Some(error)),
                Poll::Ready(None) => self.body = None,
                Poll::Pending => {
                    let received_bytes = body.unfinished_bytes() + self.arrived_bytes();
                    self.hold(received_bytes)?;
                    IS_AWAITED.set(true);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<B> Body for WholeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.poll_arrived(cx))?;
        let bytes = std::mem::take(&mut self.arrived).into_bytes();
        Poll::Ready(match bytes {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
            None => self.error.take().map(Err),
        })
    }
}
