//! A stream read on until something, with what every stream has to keep checked on the way.

use std::time::Duration;

use whimbrel::engine::Engine;
use whimbrel::live::{LiveStream, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, Revision};

use super::core::{Core, user};
use super::events::in_short;
use super::patience::within;

/// A stream that tells at once when there is nothing to tell.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: LiveStream,
    sent: Option<Cursor>,
}

impl Reader {
    /// Opens a stream of `name`'s.
    pub(crate) fn open(engine: &Engine, name: &str, of: Watched, start: Start) -> Self {
        let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
        let stream = engine.watch(&user(name), start, options).expect("the stream is opened");
        Self { stream, sent: None }
    }

    /// A live one, which has told all there was.
    pub(crate) async fn live(core: &Core, name: &str, of: Watched) -> Self {
        let mut reader = Self::open(core.engine(), name, of, Start::Now);
        assert_eq!(reader.told_missed().await, []);
        reader
    }

    /// What it tells until it is level with all there is now.
    pub(crate) async fn told_by_now(&mut self, core: &Core) -> Vec<(u64, String)> {
        self.told_until(core.engine().cursor().after).await
    }

    /// What it tells until `head` and all before it has been told. Answers to callers may come
    /// before that, bookmarks do not.
    pub(crate) async fn told_until(&mut self, head: Revision) -> Vec<(u64, String)> {
        self.read(|step| matches!(step, StreamMessage::Bookmark { cursor } if cursor.after >= head))
            .await
    }

    /// What it tells until it has caught up.
    pub(crate) async fn told_missed(&mut self) -> Vec<(u64, String)> {
        self.read(|step| matches!(step, StreamMessage::CaughtUp { .. })).await
    }

    /// Reads on until `is_end`; every batch must begin where the last message ended.
    async fn read(&mut self, is_end: impl Fn(&StreamMessage) -> bool) -> Vec<(u64, String)> {
        let mut told: Vec<(u64, String)> = Vec::new();
        loop {
            let step = within("the next message", self.stream.next()).await;
            let step = step.expect("the log is read").expect("the stream goes on");
            if let StreamMessage::Batch { prev, cursor, events } = &step {
                assert_eq!(self.sent, Some(*prev), "the chain of cursors has a hole");
                assert_eq!(cursor.after, events.last().expect("an event").revision);
                told.extend(events.iter().map(|event| in_short(event)));
                assert!(told.is_sorted_by(|a, b| a.0 < b.0), "not in order: {told:?}");
            }
            self.sent = match step {
                StreamMessage::Opened { cursor, .. }
                | StreamMessage::Batch { cursor, .. }
                | StreamMessage::CaughtUp { cursor }
                | StreamMessage::Bookmark { cursor }
                | StreamMessage::Closing { cursor } => Some(cursor),
                StreamMessage::Reset { .. } => panic!("no reset was asked for"),
            };
            if is_end(&step) {
                return told;
            }
        }
    }
}
