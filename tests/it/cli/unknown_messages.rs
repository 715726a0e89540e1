//! A client of this version and a server of a later one: the client skips unknown messages or shows
//! them as unknown, and keeps its cursor and its connection.

use std::time::Duration;

use prost::Message as _;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::api::v1::{
    AuthorRemovedEvent, FeedBatch, FeedEvent, GetThreadResponse, ListNotificationsResponse,
    Notification, StreamCaughtUp, StreamOpened, StreamReset, ThreadPost, WatchFeedRequest,
    WatchFeedResponse, WatchNotificationsResponse, thread_post,
    watch_notifications_response as notifications,
};
use whimbrel::client::{Client, Error, Retry, Watch, WatchMessage, WatchStart, WatchedEvent};

use crate::harness::program::Program;
use crate::harness::scripted::{End, Script, Scripted};
use crate::harness::within;

/// A message of an unknown kind: its only field, number 99, has `content`.
const UNKNOWN: &[u8] = b"\x9a\x06\x07content";

/// An unknown message is skipped: the stream continues, and later messages are delivered.
#[tokio::test]
async fn an_unknown_message_of_a_feed_is_skipped() {
    let server = Scripted::start([Script {
        messages: vec![
            UNKNOWN.to_vec(),
            of_feed(opened("a")),
            UNKNOWN.to_vec(),
            of_feed(caught_up("a")),
            UNKNOWN.to_vec(),
            UNKNOWN.to_vec(),
            of_feed(batch("a", "b")),
        ],
        end: End::Never,
    }])
    .await;
    let mut watch = Watch::new(client(&server).await, "alice", WatchStart::Now);
    assert_eq!(cursors(&mut watch, 3).await, ["a", "a", "b"]);
}

/// The same for notifications.
#[tokio::test]
async fn an_unknown_message_of_notifications_is_skipped() {
    let of = |message| WatchNotificationsResponse { kind: Some(message) }.encode_to_vec();
    let opened =
        notifications::Kind::Opened(StreamOpened { cursor: "a".into(), ..StreamOpened::default() });
    let caught_up = notifications::Kind::CaughtUp(StreamCaughtUp { cursor: "a".into() });
    let messages = vec![of(opened), UNKNOWN.to_vec(), of(caught_up)];
    let server = Scripted::start([Script { messages, end: End::Never }]).await;
    let mut watch = Watch::notifications(client(&server).await, "alice", WatchStart::Now);
    assert_eq!(cursors(&mut watch, 2).await, ["a", "a"]);
}

/// A skipped message may have had a cursor. The next batch may begin there, and the chain is
/// checked again from that batch on.
#[tokio::test]
async fn an_unknown_message_may_have_a_cursor() {
    let messages = vec![
        of_feed(opened("a")),
        UNKNOWN.to_vec(),
        of_feed(batch("skipped", "b")),
        of_feed(batch("b", "c")),
        of_feed(batch("lost", "d")),
    ];
    let server = Scripted::start([Script { messages, end: End::Never }]).await;
    let mut watch = Watch::new(client(&server).await, "alice", WatchStart::Now);
    assert_eq!(cursors(&mut watch, 3).await, ["a", "b", "c"]);
    let error = within("an error", watch.next(|_| ())).await.expect_err("the chain has a gap");
    assert!(matches!(&error, Error::Hole { last, .. } if last == "c"), "{error}");
}

/// A stream that breaks after a skipped message resumes from the last known cursor.
#[tokio::test]
async fn a_watch_resumes_after_an_unknown_message() {
    let first = vec![of_feed(opened("a")), of_feed(batch("a", "b")), UNKNOWN.to_vec()];
    let second = vec![of_feed(opened("b")), of_feed(batch("b", "c"))];
    let mut server = Scripted::start([
        Script { messages: first, end: End::With(14) },
        Script { messages: second, end: End::Never },
    ])
    .await;
    let mut watch = Watch::new(client(&server).await, "alice", WatchStart::Now);
    let (seen, breaks) = cursors_over_breaks(&mut watch, 4).await;
    assert_eq!((seen, breaks.len()), (["a", "b", "b", "c"].map(str::to_owned).to_vec(), 1));
    assert_eq!(server.request::<WatchFeedRequest>().await.start, None);
    let resumed = server.request::<WatchFeedRequest>().await.start;
    assert_eq!(resumed, Some(Start::AfterCursor("b".into())));
}

/// A stream that ends with OK has its own error, and is opened again.
#[tokio::test]
async fn a_stream_that_ends_with_ok_has_an_error_of_its_own() {
    let script = |messages| Script { messages, end: End::With(0) };
    let server = Scripted::start([
        script(vec![of_feed(opened("a"))]),
        script(vec![of_feed(opened("a")), of_feed(caught_up("b"))]),
    ])
    .await;
    let mut watch = Watch::new(client(&server).await, "alice", WatchStart::Now);
    let (seen, breaks) = cursors_over_breaks(&mut watch, 3).await;
    assert_eq!((seen, breaks), (vec!["a".into(), "a".into(), "b".into()], vec![Ended::WithOk]));

    // A watch without retries returns it as its error.
    let server = Scripted::start([script(Vec::new())]).await;
    let watch = Watch::new(client(&server).await, "alice", WatchStart::Now);
    let error = within("an error", watch.retry(Retry::within(Duration::ZERO)).next(|_| ())).await;
    let error = error.expect_err("the stream has ended");
    assert!(matches!(error, Error::Ended) && error.is_transient(), "{error}");
}

/// The command line shows unknown reasons and events as unknown, and continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_values_are_shown_as_such() {
    let reset = StreamReset { reason: 777, oldest_cursor: "0".into() };
    let removed = AuthorRemovedEvent { author_id: "bob".into(), reason: 9 };
    let removed = FeedEvent {
        revision: 5,
        change: Some(Change::AuthorRemoved(removed)),
        page_again_revision: 0,
    };
    let unknown = FeedEvent { revision: 7, change: None, page_again_revision: 0 };
    let batch =
        FeedBatch { prev_cursor: "a".into(), cursor: "b".into(), events: vec![removed, unknown] };
    let script = || Script {
        messages: vec![
            of_feed(opened("a")),
            UNKNOWN.to_vec(),
            of_feed(Kind::Reset(reset.clone())),
            of_feed(Kind::Batch(batch.clone())),
        ],
        end: End::Never,
    };
    let server = Scripted::start([script(), script()]).await;
    let program = || Program::calling(server.address());
    let ran = program().run("watch alice --limit 2");
    assert!(ran.printed().contains("bob (number 9, which this version does not know)"), "{ran:?}");
    assert!(ran.printed().contains("an event that this version does not know"), "{ran:?}");
    assert!(ran.stderr.contains("number 777, which this version does not know"), "{ran:?}");
    assert!(!ran.stderr.contains("trying again"), "{ran:?}");

    let ran = program().run("--json watch alice --limit 2");
    let lines = ran.lines();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert_eq!(lines[1]["reset"]["reason"], 777);
    assert_eq!(lines[2]["batch"]["events"][0]["authorRemoved"]["reason"], 9);
    assert_eq!(lines[2]["batch"]["events"][1], serde_json::json!({ "revision": "7" }));
}

/// It shows an unknown gap of a thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_gap_is_shown_as_one() {
    let gap = |post_id: &str, shown| ThreadPost {
        post_id: post_id.into(),
        parent_post_id: "p1".into(),
        depth: 1,
        shown,
        ..ThreadPost::default()
    };
    let thread = GetThreadResponse {
        post: Some(gap("p1", None)),
        replies: vec![gap("p2", Some(thread_post::Shown::Gap(99))), gap("p3", None)],
        ..GetThreadResponse::default()
    };
    let server =
        Scripted::start([Script { messages: vec![thread.encode_to_vec()], end: End::With(0) }])
            .await;
    let ran = Program::calling(server.address()).run("thread alice p1");
    let expected = "> (p1 is not shown)\n  (p2 cannot be seen)\n  (p3 is not shown)\n";
    assert_eq!(ran.printed(), expected);
}

/// It shows an unknown kind of notification. For machines it prints the number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_notification_is_shown_as_one() {
    let kind = 99;
    let unknown = Notification { kind, actor_id: "bob".into(), ..Notification::default() };
    let notifications = vec![unknown];
    let page = ListNotificationsResponse { notifications, ..ListNotificationsResponse::default() };
    let script = || Script { messages: vec![page.encode_to_vec()], end: End::With(0) };
    let server = Scripted::start([script(), script()]).await;
    let ran = Program::calling(server.address()).run("notifications alice");
    assert!(ran.printed().contains("bob did what this version does not know"), "{ran:?}");
    let lines = Program::calling(server.address()).run("--json notifications alice").lines();
    assert_eq!(lines[0], serde_json::json!({ "notification": { "kind": 99, "actorId": "bob" } }));
}

/// A refusal by a proxy, without a reason of the server's, is final.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_a_proxy_is_final() {
    for (status, name) in [(16, "UNAUTHENTICATED"), (7, "PERMISSION_DENIED"), (12, "UNIMPLEMENTED")]
    {
        let script = || Script { messages: Vec::new(), end: End::With(status) };
        let server = Scripted::start([script(), script()]).await;
        for arguments in ["watch alice", "follow alice bob"] {
            let ran = Program::calling(server.address()).run(arguments);
            ran.failed(1, &format!("refused without a reason ({name})"));
            assert!(!ran.stderr.contains("connection"), "{ran:?}");
        }
    }
}

/// The end of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    WithOk,
    Otherwise(String),
}

/// The cursors of the next messages. The watch must not break.
async fn cursors<E: WatchedEvent>(watch: &mut Watch<E>, count: usize) -> Vec<String> {
    let (cursors, breaks) = cursors_over_breaks(watch, count).await;
    assert_eq!(breaks, []);
    cursors
}

/// The cursors of the next messages, and the breaks between them.
async fn cursors_over_breaks<E: WatchedEvent>(
    watch: &mut Watch<E>,
    count: usize,
) -> (Vec<String>, Vec<Ended>) {
    let (mut cursors, mut breaks) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let on_break = |error: &Error| {
            breaks.push(match error {
                Error::Ended => Ended::WithOk,
                other => Ended::Otherwise(other.to_string()),
            });
        };
        let message: WatchMessage<E> =
            within("a message", watch.next(on_break)).await.expect("the watch continues");
        cursors.push(message.cursor().unwrap_or_default().to_owned());
    }
    (cursors, breaks)
}

async fn client(server: &Scripted) -> Client {
    Client::connect(&server.address().to_string()).await.unwrap()
}

fn of_feed(kind: Kind) -> Vec<u8> {
    WatchFeedResponse { kind: Some(kind) }.encode_to_vec()
}

fn opened(cursor: &str) -> Kind {
    Kind::Opened(StreamOpened { cursor: cursor.into(), ..StreamOpened::default() })
}

fn caught_up(cursor: &str) -> Kind {
    Kind::CaughtUp(StreamCaughtUp { cursor: cursor.into() })
}

fn batch(prev_cursor: &str, cursor: &str) -> Kind {
    let events = vec![FeedEvent { revision: 1, change: None, page_again_revision: 0 }];
    Kind::Batch(FeedBatch { prev_cursor: prev_cursor.into(), cursor: cursor.into(), events })
}
