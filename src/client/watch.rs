//! A live stream across broken connections: without a hole, and without a repeat.

use std::time::Duration;

use tokio::time::timeout;

use super::{Client, Error, Message, Messages, Retry};
use crate::api::v1::watch_feed_request::{self, Snapshot};
use crate::api::v1::{
    FeedEvent, GapPolicy, NotificationEvent, WatchFeedRequest, WatchFeedResponse,
    WatchNotificationsRequest, WatchNotificationsResponse, watch_notifications_request,
};

/// After so many heartbeats without a message a connection is taken for dead.
const SILENT_HEARTBEATS_MAX: u32 = 2;
/// How long a server has for the first message, which it sends at once.
const OPEN_TIME_MAX: Duration = Duration::from_secs(10);

/// Where a watch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With what happens from now on.
    Now,
    /// After a cursor.
    Cursor(String),
    /// With the newest items, at most so many; 0 for the server's default.
    Snapshot(i32),
}

/// A live feed, or live notifications, that resume.
#[derive(Debug)]
pub struct Watch<E: WatchedEvent = FeedEvent> {
    client: Client,
    asked: Asked,
    /// The stream, while there is one.
    stream: Option<Stream<E::Response>>,
    retry: Retry,
}

/// A stream that is open.
#[derive(Debug)]
struct Stream<R> {
    messages: Messages<R>,
    /// The longest silence to expect of it.
    silence_max: Duration,
    /// Whether a message was skipped since the last one with a cursor. It may have had a cursor
    /// too, which the next batch then names as the one before it.
    has_skipped: bool,
}

/// What is asked of every stream that a watch opens.
#[derive(Clone, Debug)]
pub struct Asked {
    user_id: String,
    from: StartAt,
    heartbeat: Option<Duration>,
    gap_policy: GapPolicy,
    include_all_replies: bool,
}

/// An event of a stream that can be watched.
pub trait WatchedEvent: Sized {
    /// What the server sends.
    type Response: prost::Message + From<Message<Self>>;

    /// Opens a stream.
    fn open(
        client: &Client,
        asked: Asked,
    ) -> impl Future<Output = Result<Messages<Self::Response>, Error>> + Send;

    /// The message in a response; `None` if there is none that this version knows.
    fn message(response: Self::Response) -> Option<Message<Self>>;

    /// The response that a message came in.
    fn response(message: Message<Self>) -> Self::Response {
        message.into()
    }
}

impl Watch<FeedEvent> {
    /// Watches `user_id`'s feed. Nothing is called before the first [`Watch::next`].
    #[must_use]
    pub fn new(client: Client, user_id: &str, from: StartAt) -> Self {
        Self::of(client, user_id, from)
    }

    /// Wants all replies of those followed, whomever they answer.
    #[must_use]
    pub fn include_all_replies(mut self) -> Self {
        self.asked.include_all_replies = true;
        self
    }
}

impl Watch<NotificationEvent> {
    /// Watches `user_id`'s notifications. Nothing is called before the first [`Watch::next`].
    #[must_use]
    pub fn notifications(client: Client, user_id: &str, from: StartAt) -> Self {
        Self::of(client, user_id, from)
    }
}

impl<E: WatchedEvent> Watch<E> {
    fn of(client: Client, user_id: &str, from: StartAt) -> Self {
        let asked = Asked {
            user_id: user_id.to_owned(),
            from,
            heartbeat: None,
            gap_policy: GapPolicy::Fail,
            include_all_replies: false,
        };
        Self { client, asked, stream: None, retry: Retry::for_ever() }
    }

    /// Asks for a sign of life at least so often.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.asked.heartbeat = Some(heartbeat);
        self
    }

    /// Wants a fresh snapshot where a cursor cannot be served, instead of an error.
    #[must_use]
    pub fn reset_on_gap(mut self) -> Self {
        self.asked.gap_policy = GapPolicy::Reset;
        self
    }

    /// Gives up after so long without a connection, instead of never.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The next message. If the connection breaks, connects again and goes on after the last
    /// message; `opened` then comes again, and `on_break` hears why. A message of a kind that this
    /// version does not know is skipped.
    ///
    /// # Errors
    /// One that trying again does not mend, of which `on_break` does not hear.
    pub async fn next(&mut self, mut on_break: impl FnMut(&Error)) -> Result<Message<E>, Error> {
        loop {
            match self.try_next().await {
                Ok(message) => {
                    self.advance(&message)?;
                    return Ok(message);
                }
                Err(error) => {
                    self.stream = None;
                    if error.is_transient() {
                        on_break(&error);
                    }
                    self.retry.wait(error).await?;
                }
            }
        }
    }

    /// The next message of the present stream, or of a new one.
    async fn try_next(&mut self) -> Result<Message<E>, Error> {
        let stream = match &mut self.stream {
            Some(open) => open,
            none => {
                let messages = E::open(&self.client, self.asked.clone()).await?;
                let silence_max = OPEN_TIME_MAX;
                none.insert(Stream { messages, silence_max, has_skipped: false })
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

    /// Takes note of how far `message` brings the watch.
    fn advance(&mut self, message: &Message<E>) -> Result<(), Error> {
        self.retry.succeeded();
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match message {
            Message::Opened(opened) => {
                let heartbeat = opened.heartbeat.and_then(|it| Duration::try_from(it).ok());
                if let Some(heartbeat) = heartbeat {
                    stream.silence_max = heartbeat * SILENT_HEARTBEATS_MAX;
                }
            }
            Message::Batch(batch) if !stream.has_skipped => {
                if let StartAt::Cursor(last) = &self.asked.from
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
            self.asked.from = StartAt::Cursor(cursor.to_owned());
        }
        Ok(())
    }
}

impl WatchedEvent for FeedEvent {
    type Response = WatchFeedResponse;

    async fn open(client: &Client, asked: Asked) -> Result<Messages<Self::Response>, Error> {
        use watch_feed_request::Start;

        let request = WatchFeedRequest {
            user_id: asked.user_id,
            start: match asked.from {
                StartAt::Now => None,
                StartAt::Cursor(cursor) => Some(Start::AfterCursor(cursor)),
                StartAt::Snapshot(limit) => Some(Start::Snapshot(Snapshot { limit })),
            },
            heartbeat: asked.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok()),
            gap_policy: asked.gap_policy.into(),
            include_all_replies: asked.include_all_replies,
        };
        client.watch_feed(request).await
    }

    fn message(response: Self::Response) -> Option<Message<Self>> {
        response.message.map(Message::from)
    }
}

impl WatchedEvent for NotificationEvent {
    type Response = WatchNotificationsResponse;

    async fn open(client: &Client, asked: Asked) -> Result<Messages<Self::Response>, Error> {
        use watch_notifications_request::Start;

        let request = WatchNotificationsRequest {
            user_id: asked.user_id,
            start: match asked.from {
                StartAt::Now => None,
                StartAt::Cursor(cursor) => Some(Start::AfterCursor(cursor)),
                StartAt::Snapshot(limit) => Some(Start::Snapshot(Snapshot { limit })),
            },
            heartbeat: asked.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok()),
            gap_policy: asked.gap_policy.into(),
        };
        client.watch_notifications(request).await
    }

    fn message(response: Self::Response) -> Option<Message<Self>> {
        response.message.map(Message::from)
    }
}
