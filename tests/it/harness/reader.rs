//! A live stream of an engine. Every message is checked: the order of events, and the chain of
//! cursors.

use std::time::Duration;

use whimbrel::engine::Engine;
use whimbrel::live::{LiveStream, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, Revision};

use super::core::{Core, user};
use super::events::in_short;
use super::patience::within;

/// A stream with a heartbeat of zero: it sends a bookmark as soon as no other message is due.
#[derive(Debug)]
pub(crate) struct StreamReader {
    stream: LiveStream,
    sent: Option<Cursor>,
}

impl StreamReader {
    /// Opens a stream of `name`'s.
    pub(crate) fn open(engine: &Engine, name: &str, of: Watched, start: Start) -> Self {
        let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
        let stream = engine.watch(&user(name), start, options).expect("the stream is opened");
        Self { stream, sent: None }
    }

    /// Opens a stream that is live: it has caught up.
    pub(crate) async fn live(core: &Core, name: &str, of: Watched) -> Self {
        let mut reader = Self::open(core.engine(), name, of, Start::Now);
        assert_eq!(reader.read_backlog().await, []);
        reader
    }

    /// The events up to now, in short.
    pub(crate) async fn read_to_now(&mut self, core: &Core) -> Vec<(u64, String)> {
        self.read_until(core.engine().cursor().after).await
    }

    /// The events up to `head`, in short. A bookmark at `head` ends them: no bookmark is sent
    /// before the events that it covers.
    pub(crate) async fn read_until(&mut self, head: Revision) -> Vec<(u64, String)> {
        self.read(|step| matches!(step, StreamMessage::Bookmark { cursor } if cursor.after >= head))
            .await
    }

    /// The events until it has caught up, in short.
    pub(crate) async fn read_backlog(&mut self) -> Vec<(u64, String)> {
        self.read(|step| matches!(step, StreamMessage::CaughtUp { .. })).await
    }

    /// Reads until `is_end`. Every batch must begin where the last message ended.
    async fn read(&mut self, is_end: impl Fn(&StreamMessage) -> bool) -> Vec<(u64, String)> {
        let mut events_read: Vec<(u64, String)> = Vec::new();
        loop {
            let step = within("the next message", self.stream.next()).await;
            let step = step.expect("the log is read").expect("the stream continues");
            if let StreamMessage::Batch { prev, cursor, events } = &step {
                assert_eq!(self.sent, Some(*prev), "the chain of cursors has a gap");
                assert_eq!(cursor.after, events.last().expect("an event").revision);
                events_read.extend(events.iter().map(|event| in_short(event)));
                assert!(
                    events_read.is_sorted_by(|a, b| a.0 < b.0),
                    "not in order: {events_read:?}"
                );
            }
            self.sent = match step {
                StreamMessage::Opened { cursor, .. }
                | StreamMessage::Batch { cursor, .. }
                | StreamMessage::CaughtUp { cursor }
                | StreamMessage::Bookmark { cursor }
                | StreamMessage::Closing { cursor } => Some(cursor),
                StreamMessage::Reset { .. } => panic!("no reset was requested"),
            };
            if is_end(&step) {
                return events_read;
            }
        }
    }
}
