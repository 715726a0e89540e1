//! A live stream across broken connections. Never skips an event and never gives one twice.

use std::time::Duration;

use tokio::time::timeout;

use super::{Client, Error, MessageStream, Retry, WatchMessage};
use crate::api::v1::{
    FeedEvent, GapPolicy, NotificationEvent, StreamSnapshot, WatchFeedRequest, WatchFeedResponse,
    WatchNotificationsRequest, WatchNotificationsResponse, watch_feed_request,
    watch_notifications_request,
};

/// A connection counts as dead after so many heartbeat intervals without a message.
const SILENT_HEARTBEATS_MAX: u32 = 2;
/// Longest wait for the first message, which a server sends at once.
const OPEN_TIME_MAX: Duration = Duration::from_secs(10);

/// The position at which a watch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// The newest event.
    Now,
    /// The position after a cursor.
    Cursor(String),
    /// A snapshot of at most so many newest items; 0 for the server's default.
    Snapshot(i32),
}

/// A live feed, or live notifications. Resumes after a broken connection.
#[derive(Debug)]
pub struct Watch<E: WatchedEvent = FeedEvent> {
    client: Client,
    /// The request for the next stream. Its start is the last received cursor.
    request: WatchRequest,
    stream: Option<OpenStream<E::Response>>,
    retry: Retry,
}

#[derive(Debug)]
struct OpenStream<R> {
    messages: MessageStream<R>,
    /// Longest time without a message before the connection counts as dead.
    silence_max: Duration,
    /// Whether an unknown message was skipped since the last cursor. It may have had a cursor, so
    /// the `prev_cursor` of the next batch is not checked.
    has_skipped: bool,
}

/// The fields that the requests of all watch RPCs share.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    user_id: String,
    start: WatchStart,
    heartbeat: Option<Duration>,
    gap_policy: GapPolicy,
    include_all_replies: bool,
}

/// The event type of a watch RPC, which selects the RPC.
pub trait WatchedEvent: Sized {
    /// The response message of the RPC.
    type Response: prost::Message + From<WatchMessage<Self>>;

    /// Calls the RPC.
    fn open(
        client: &Client,
        request: WatchRequest,
    ) -> impl Future<Output = Result<MessageStream<Self::Response>, Error>> + Send;

    /// The message in a response; `None` if this version does not know it.
    fn message(response: Self::Response) -> Option<WatchMessage<Self>>;

    /// The response with `message` in it: the inverse of [`WatchedEvent::message`].
    fn response(message: WatchMessage<Self>) -> Self::Response {
        message.into()
    }
}

impl Watch<FeedEvent> {
    /// Watches `user_id`'s feed. The first [`Watch::next`] makes the first call.
    #[must_use]
    pub fn new(client: Client, user_id: &str, start: WatchStart) -> Self {
        Self::with_start(client, user_id, start)
    }

    /// Asks for all replies of followed authors, to whichever post.
    #[must_use]
    pub fn include_all_replies(mut self) -> Self {
        self.request.include_all_replies = true;
        self
    }
}

impl Watch<NotificationEvent> {
    /// Watches `user_id`'s notifications. The first [`Watch::next`] makes the first call.
    #[must_use]
    pub fn notifications(client: Client, user_id: &str, start: WatchStart) -> Self {
        Self::with_start(client, user_id, start)
    }
}

impl<E: WatchedEvent> Watch<E> {
    fn with_start(client: Client, user_id: &str, start: WatchStart) -> Self {
        let request = WatchRequest {
            user_id: user_id.to_owned(),
            start,
            heartbeat: None,
            gap_policy: GapPolicy::Fail,
            include_all_replies: false,
        };
        Self { client, request, stream: None, retry: Retry::for_ever() }
    }

    /// Asks for a message at least once in each `heartbeat`.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.request.heartbeat = Some(heartbeat);
        self
    }

    /// Asks for a new snapshot instead of an error when a cursor cannot be served.
    #[must_use]
    pub fn reset_on_gap(mut self) -> Self {
        self.request.gap_policy = GapPolicy::Reset;
        self
    }

    /// Reconnects as `retry` says, instead of for ever.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The next message. If the connection breaks, `on_break` is called with the error, and the
    /// watch reconnects and resumes after the last message; `opened` then comes again. A message of
    /// a kind that this version does not know is skipped.
    ///
    /// # Errors
    /// The error is not transient, in which case `on_break` is not called, or the retries ended.
    pub async fn next(
        &mut self,
        mut on_break: impl FnMut(&Error),
    ) -> Result<WatchMessage<E>, Error> {
        loop {
            match self.try_next().await {
                Ok(message) => {
                    self.advance(&message)?;
                    return Ok(message);
                }
                Err(error) => {
                    self.stream = None;
                    let error = self.client.error(error);
                    if error.is_transient() {
                        on_break(&error);
                    }
                    self.retry.wait(error).await?;
                }
            }
        }
    }

    /// The next message of the open stream, or of a new one.
    async fn try_next(&mut self) -> Result<WatchMessage<E>, Error> {
        let stream = match &mut self.stream {
            Some(open) => open,
            none => {
                let messages = E::open(&self.client, self.request.clone()).await?;
                let silence_max = OPEN_TIME_MAX;
                none.insert(OpenStream { messages, silence_max, has_skipped: false })
            }
        };
        loop {
            let silence_max = stream.silence_max;
            let next = timeout(silence_max, stream.messages.next()).await;
            let response = next.unwrap_or(Err(Error::Silent { silence_max }))?;
            match E::message(response.ok_or(Error::Ended)?) {
                Some(message) => return Ok(message),
                None => stream.has_skipped = true,
            }
        }
    }

    /// Moves the start of the next stream to the cursor of `message`, and checks the chain of
    /// cursors.
    fn advance(&mut self, message: &WatchMessage<E>) -> Result<(), Error> {
        self.retry.succeeded();
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match message {
            WatchMessage::Opened(opened) => {
                let heartbeat = opened.heartbeat.and_then(|it| Duration::try_from(it).ok());
                if let Some(heartbeat) = heartbeat {
                    stream.silence_max = heartbeat * SILENT_HEARTBEATS_MAX;
                }
            }
            // The status comes after it.
            WatchMessage::Closing(closing) => self.client.servers.leave(&closing.other_address),
            WatchMessage::Batch(batch) if !stream.has_skipped => {
                if let WatchStart::Cursor(last) = &self.request.start
                    && *last != batch.prev_cursor
                {
                    let (prev_cursor, last) = (batch.prev_cursor.clone(), last.clone());
                    return Err(Error::Hole { prev_cursor, last });
                }
            }
            _ => {}
        }
        if let Some(cursor) = message.cursor() {
            stream.has_skipped = false;
            self.client.servers.saw(cursor);
            self.request.start = WatchStart::Cursor(cursor.to_owned());
        }
        Ok(())
    }
}

impl WatchedEvent for FeedEvent {
    type Response = WatchFeedResponse;

    async fn open(
        client: &Client,
        shared: WatchRequest,
    ) -> Result<MessageStream<Self::Response>, Error> {
        use watch_feed_request::Start;

        let request = WatchFeedRequest {
            user_id: shared.user_id,
            start: match shared.start {
                WatchStart::Now => None,
                WatchStart::Cursor(cursor) => Some(Start::AfterCursor(cursor)),
                WatchStart::Snapshot(limit) => Some(Start::Snapshot(StreamSnapshot { limit })),
            },
            heartbeat: shared.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok()),
            gap_policy: shared.gap_policy.into(),
            include_all_replies: shared.include_all_replies,
        };
        client.watch_feed(request).await
    }

    fn message(response: Self::Response) -> Option<WatchMessage<Self>> {
        response.kind.map(WatchMessage::from)
    }
}

impl WatchedEvent for NotificationEvent {
    type Response = WatchNotificationsResponse;

    async fn open(
        client: &Client,
        shared: WatchRequest,
    ) -> Result<MessageStream<Self::Response>, Error> {
        use watch_notifications_request::Start;

        let request = WatchNotificationsRequest {
            user_id: shared.user_id,
            start: match shared.start {
                WatchStart::Now => None,
                WatchStart::Cursor(cursor) => Some(Start::AfterCursor(cursor)),
                WatchStart::Snapshot(limit) => Some(Start::Snapshot(StreamSnapshot { limit })),
            },
            heartbeat: shared.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok()),
            gap_policy: shared.gap_policy.into(),
        };
        client.watch_notifications(request).await
    }

    fn message(response: Self::Response) -> Option<WatchMessage<Self>> {
        response.kind.map(WatchMessage::from)
    }
}
