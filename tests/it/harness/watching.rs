//! One stream of a live feed, over the network. Every message is checked against the contract: the
//! order of messages, rising revisions, and the chain of cursors.

use prost::Message as _;
use tonic::{Code, Status, Streaming};
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::api::v1::{
    FeedBatch, FeedEvent, StreamBookmark, StreamCaughtUp, StreamClosing, StreamOpened, StreamReset,
    WatchFeedResponse,
};

use super::patience::within;

/// The limits of a batch in `proto/whimbrel/v1/feed_service.proto`.
const BATCH_EVENTS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 64 << 10;

/// A stream, and the state that its next message is checked by.
#[derive(Debug)]
pub(crate) struct Watching {
    messages: Streaming<WatchFeedResponse>,
    seen: Seen,
}

/// The state that the next message is checked by.
#[derive(Debug, Default)]
struct Seen {
    opened: bool,
    caught_up: bool,
    closing: bool,
    /// The last cursor sent.
    cursor: String,
    /// The revision of the last event.
    revision: u64,
}

/// An event in short: `bob: hi`, `+bob`, `-bob`.
pub(crate) fn event_in_short(event: &FeedEvent) -> String {
    match event.change.as_ref().expect("an event says what happened") {
        Change::Posted(posted) => {
            let item = posted.item.as_ref().expect("the whole item is in the event");
            let post = item.post.as_ref().expect("an item has its post");
            assert_eq!((post.revision, item.revision), (event.revision, event.revision));
            format!("{}: {}", post.author_id, post.text)
        }
        Change::AuthorAdded(added) => format!("+{}", added.author_id),
        Change::AuthorRemoved(removed) => format!("-{}", removed.author_id),
        other => panic!("not sent by this version: {other:?}"),
    }
}

impl Watching {
    pub(crate) fn new(messages: Streaming<WatchFeedResponse>) -> Self {
        Self { messages, seen: Seen::default() }
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Kind, Status> {
        let next = within("a message of the stream", self.messages.message()).await?;
        let response = next.expect("a stream never ends with OK");
        let bytes = response.encoded_len();
        let message = response.kind.expect("a message says what it is");
        if let Kind::Batch(batch) = &message {
            assert!(batch.events.len() <= BATCH_EVENTS_MAX, "{} events", batch.events.len());
            assert!(bytes <= BATCH_BYTES_MAX, "a batch of {bytes} bytes");
        }
        self.seen.check(&message);
        Ok(message)
    }

    /// The last cursor sent: where to resume.
    pub(crate) fn cursor(&self) -> &str {
        &self.seen.cursor
    }

    /// The next message, which must be `opened`.
    pub(crate) async fn opened(&mut self) -> StreamOpened {
        match self.message().await {
            Kind::Opened(opened) => opened,
            other => panic!("not opened, but {other:?}"),
        }
    }

    /// The next message, which must be `caught_up`.
    pub(crate) async fn caught_up(&mut self) -> StreamCaughtUp {
        match self.message().await {
            Kind::CaughtUp(caught_up) => caught_up,
            other => panic!("not caught up, but {other:?}"),
        }
    }

    /// The next message, which must be a batch.
    pub(crate) async fn batch(&mut self) -> FeedBatch {
        match self.message().await {
            Kind::Batch(batch) => batch,
            other => panic!("not a batch, but {other:?}"),
        }
    }

    /// The next message, which must be a bookmark.
    pub(crate) async fn bookmark(&mut self) -> StreamBookmark {
        match self.message().await {
            Kind::Bookmark(bookmark) => bookmark,
            other => panic!("not a bookmark, but {other:?}"),
        }
    }

    /// The next message, which must be `reset`.
    pub(crate) async fn reset(&mut self) -> StreamReset {
        match self.message().await {
            Kind::Reset(reset) => reset,
            other => panic!("not a reset, but {other:?}"),
        }
    }

    /// Reads until the stream is live, and returns the events before that, in short.
    pub(crate) async fn live(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            match self.message().await {
                Kind::CaughtUp(_) => return events,
                Kind::Batch(batch) => events.extend(batch.events.iter().map(event_in_short)),
                _ => {}
            }
        }
    }

    /// Reads until there are `count` events, in short. Their last batch must have no more.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < count {
            if let Kind::Batch(batch) = self.message().await {
                events.extend(batch.events.iter().map(event_in_short));
            }
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }

    /// Reads until `closing`, and then the status of the stream.
    pub(crate) async fn closing(&mut self) -> (StreamClosing, Status) {
        loop {
            if let Kind::Closing(closing) = self.message().await {
                return (closing, self.ended().await);
            }
        }
    }

    /// Reads until the stream ends.
    pub(crate) async fn ended(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                assert_ne!(status.code(), Code::Ok);
                return status;
            }
        }
    }

    async fn message(&mut self) -> Kind {
        self.next().await.expect("the stream continues")
    }
}

impl Seen {
    fn check(&mut self, message: &Kind) {
        assert!(!self.closing, "{message:?} came after closing");
        let is_opened = matches!(message, Kind::Opened(_));
        assert_ne!(self.opened, is_opened, "opened comes first, and once: {message:?}");
        self.opened = true;
        match message {
            Kind::Opened(opened) => self.cursor.clone_from(&opened.cursor),
            Kind::Batch(batch) => self.check_batch(batch),
            Kind::CaughtUp(caught_up) => {
                assert!(!self.caught_up, "caught up twice");
                self.caught_up = true;
                self.cursor.clone_from(&caught_up.cursor);
            }
            Kind::Bookmark(bookmark) => {
                assert!(self.caught_up, "a bookmark before the stream was live");
                self.cursor.clone_from(&bookmark.cursor);
            }
            Kind::Reset(_) => assert!(!self.caught_up, "a reset in a live stream"),
            Kind::Closing(closing) => {
                self.closing = true;
                self.cursor.clone_from(&closing.cursor);
            }
        }
    }

    fn check_batch(&mut self, batch: &FeedBatch) {
        assert_eq!(batch.prev_cursor, self.cursor, "the chain of cursors has a gap");
        assert!(!batch.events.is_empty(), "an empty batch");
        for event in &batch.events {
            assert!(event.revision > self.revision, "revisions must rise: {event:?}");
            self.revision = event.revision;
        }
        self.cursor.clone_from(&batch.cursor);
    }
}
