//! A live feed read message by message, so that a test decides what happens between two messages.

use whimbrel::live::{Start, StreamMessage};
use whimbrel::model::Cursor;

use crate::harness::core::{Core, step, texts};

/// A post during a snapshot continues the chain of cursors: its batch names the last cursor that
/// was sent, not one that the reader never got.
#[tokio::test]
async fn a_post_during_the_snapshot_continues_the_chain() {
    let core = Core::limited(|_| ());
    core.publish("alice", "one").await;
    core.publish("stranger", "unseen").await;
    let mut stream = core.watch("alice", Start::Snapshot { items_max: 10 });
    let mut chain = Chain::default();
    chain.take(step(&mut stream).await);
    assert_eq!(texts(chain.take(step(&mut stream).await)), ["one"]);

    core.publish("alice", "two").await;
    assert_eq!(texts(chain.take(step(&mut stream).await)), ["two"]);
    assert!(matches!(chain.take(step(&mut stream).await), StreamMessage::CaughtUp { .. }));
}

/// The same if changes of other users have moved the log meanwhile.
#[tokio::test]
async fn a_read_without_events_leaves_no_gap() {
    let core = Core::limited(|limits| limits.channel_events_max = 2);
    let start = core.publish("alice", "before").await.cursor;
    core.publish("alice", "one").await;
    let mut stream = core.watch("alice", Start::After(start));
    let mut chain = Chain::default();
    chain.take(step(&mut stream).await);
    for text in ["two", "three", "four", "five"] {
        core.publish("alice", text).await;
    }
    let batch = step(&mut stream).await;
    assert_eq!(texts(chain.take(batch)), ["one", "two", "three", "four", "five"]);
    core.publish("stranger", "unseen").await;
    assert!(matches!(chain.take(step(&mut stream).await), StreamMessage::CaughtUp { .. }));

    // The channel still has the events of the backlog, and reports that it was overrun.
    for text in ["six", "seven", "eight"] {
        core.publish("alice", text).await;
    }
    core.publish("stranger", "unseen too").await;
    assert_eq!(texts(chain.take(step(&mut stream).await)), ["six", "seven", "eight"]);
    // `join!` polls the stream first, so it waits before the post is made.
    let (batch, _) = tokio::join!(step(&mut stream), core.publish("alice", "nine"));
    assert_eq!(texts(chain.take(batch)), ["nine"]);
}

/// A reader whose channel was overrun many times gets every event, once and in order.
#[tokio::test]
async fn an_overrun_reader_is_refilled() {
    let core = Core::limited(|limits| limits.channel_events_max = 2);
    let mut stream = core.watch("alice", Start::Now);
    let mut chain = Chain::default();
    chain.take(step(&mut stream).await);
    assert!(matches!(chain.take(step(&mut stream).await), StreamMessage::CaughtUp { .. }));
    core.follow("alice", "bob").await;
    assert!(matches!(chain.take(step(&mut stream).await), StreamMessage::Batch { .. }));

    let mut sent: Vec<String> = Vec::new();
    let mut got: Vec<String> = Vec::new();
    for round in 0..10 {
        for number in 0..=round {
            let text = format!("{round}.{number}");
            core.publish(if number % 2 == 0 { "bob" } else { "alice" }, &text).await;
            sent.push(text);
        }
        let batch = step(&mut stream).await;
        got.extend(texts(chain.take(batch)).into_iter().map(str::to_owned));
    }
    while got.len() < sent.len() {
        got.extend(texts(chain.take(step(&mut stream).await)).into_iter().map(str::to_owned));
    }
    assert_eq!(got, sent);
}

/// Checks that each batch begins at the last cursor sent.
#[derive(Default)]
struct Chain {
    sent: Option<Cursor>,
    last: Option<StreamMessage>,
}

impl Chain {
    fn take(&mut self, step: StreamMessage) -> &StreamMessage {
        let cursor = match &step {
            StreamMessage::Batch { prev, cursor, .. } => {
                assert_eq!(Some(*prev), self.sent, "the chain of cursors has a gap");
                *cursor
            }
            StreamMessage::Opened { cursor, .. }
            | StreamMessage::CaughtUp { cursor }
            | StreamMessage::Bookmark { cursor }
            | StreamMessage::Closing { cursor } => *cursor,
            StreamMessage::Reset { .. } => panic!("no reset was requested"),
        };
        self.sent = Some(cursor);
        self.last.insert(step)
    }
}
