//! A live feed across broken connections: without a hole, and without a repeat.

use std::time::Duration;

use tokio::time::timeout;

use super::{Client, Error, Messages, Retry};
use crate::api::v1::watch_feed_request::{Snapshot, Start};
use crate::api::v1::watch_feed_response::Message;
use crate::api::v1::{GapPolicy, WatchFeedRequest};

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

/// A live feed that resumes.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    user_id: String,
    from: StartAt,
    heartbeat: Option<Duration>,
    gap_policy: GapPolicy,
    /// The stream, while there is one, and the longest silence to expect of it.
    messages: Option<(Messages, Duration)>,
    retry: Retry,
}

impl Watch {
    /// Watches `user_id`'s feed. Nothing is called before the first [`Watch::next`].
    #[must_use]
    pub fn new(client: Client, user_id: &str, from: StartAt) -> Self {
        Self {
            client,
            user_id: user_id.to_owned(),
            from,
            heartbeat: None,
            gap_policy: GapPolicy::Fail,
            messages: None,
            retry: Retry::for_ever(),
        }
    }

    /// Asks for a sign of life at least so often.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat: Some(heartbeat), ..self }
    }

    /// Wants a fresh snapshot where a cursor cannot be served, instead of an error.
    #[must_use]
    pub fn reset_on_gap(self) -> Self {
        Self { gap_policy: GapPolicy::Reset, ..self }
    }

    /// Gives up after so long without a connection, instead of never.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The next message. If the connection breaks, connects again and goes on after the last
    /// message; `opened` then comes again, and `on_break` hears why.
    ///
    /// # Errors
    /// One that trying again does not mend.
    pub async fn next(&mut self, mut on_break: impl FnMut(&Error)) -> Result<Message, Error> {
        loop {
            match self.try_next().await {
                Ok(message) => {
                    self.advance(&message)?;
                    return Ok(message);
                }
                Err(error) => {
                    self.messages = None;
                    on_break(&error);
                    self.retry.wait(error).await?;
                }
            }
        }
    }

    /// The next message of the present stream, or of a new one.
    async fn try_next(&mut self) -> Result<Message, Error> {
        let (messages, silence_max) = match &mut self.messages {
            Some(open) => open,
            none => {
                let messages = self.client.watch_feed(request(
                    &self.user_id,
                    &self.from,
                    self.heartbeat,
                    self.gap_policy,
                ));
                none.insert((messages.await?, OPEN_TIME_MAX))
            }
        };
        let silence_max = *silence_max;
        let next = timeout(silence_max, messages.next()).await;
        let message = next.unwrap_or(Err(Error::Silent { silence_max }))?;
        // Neither an end with OK nor an empty message is in the contract: the stream is no good.
        message.and_then(|message| message.message).ok_or(Error::Silent { silence_max })
    }

    /// Takes note of how far `message` brings the watch.
    fn advance(&mut self, message: &Message) -> Result<(), Error> {
        self.retry.succeeded();
        let cursor = match message {
            Message::Opened(opened) => {
                let heartbeat = opened.heartbeat.and_then(|it| Duration::try_from(it).ok());
                if let (Some((_, silence_max)), Some(heartbeat)) = (&mut self.messages, heartbeat) {
                    *silence_max = heartbeat * SILENT_HEARTBEATS_MAX;
                }
                &opened.cursor
            }
            Message::Batch(batch) => {
                if StartAt::Cursor(batch.prev_cursor.clone()) != self.from {
                    let StartAt::Cursor(last) = std::mem::replace(&mut self.from, StartAt::Now)
                    else {
                        return Ok(());
                    };
                    return Err(Error::Hole { prev_cursor: batch.prev_cursor.clone(), last });
                }
                &batch.cursor
            }
            Message::CaughtUp(caught_up) => &caught_up.cursor,
            Message::Bookmark(bookmark) => &bookmark.cursor,
            Message::Closing(closing) => &closing.cursor,
            Message::Reset(_) => return Ok(()),
        };
        self.from = StartAt::Cursor(cursor.clone());
        Ok(())
    }
}

fn request(
    user_id: &str,
    from: &StartAt,
    heartbeat: Option<Duration>,
    gap_policy: GapPolicy,
) -> WatchFeedRequest {
    WatchFeedRequest {
        user_id: user_id.to_owned(),
        start: match from {
            StartAt::Now => None,
            StartAt::Cursor(cursor) => Some(Start::AfterCursor(cursor.clone())),
            StartAt::Snapshot(limit) => Some(Start::Snapshot(Snapshot { limit: *limit })),
        },
        heartbeat: heartbeat.and_then(|heartbeat| heartbeat.try_into().ok()),
        gap_policy: gap_policy.into(),
    }
}
