//! Traces: a span of each sampled call with its waits, and a collector that is away or slow delays nobody.

use std::net::TcpListener;
use std::time::Instant;

use tonic::Code;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::config::Tracing;

use super::{follow, news_feed, with_headers};
use crate::harness::admin::scrape;
use crate::harness::collector::{Collector, text, tracing_to};
use crate::harness::program::Program;
use crate::harness::{Setup, TestServer, Valve, eventually, within};

const ID: &str = "x-request-id";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

fn unsampled() -> String {
    format!("00-{TRACE}-{PARENT}-00")
}

async fn traced(tracing: Tracing) -> TestServer {
    Setup::new().tracing(tracing).admin().start().await
}

/// The caller's trace goes on, and a change says how long it waited for what.
#[tokio::test]
async fn a_call_has_a_span_with_its_waits() {
    let collector = Collector::start().await;
    let server = traced(collector.tracing()).await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let parent = sampled();
    let headers =
        [(ID, "one"), ("traceparent", &*parent), ("tracestate", "a=1"), ("tracestate", "b=2")];
    feeds.follow(follow("alice", "bob", &headers)).await.unwrap();
    let span = collector.span_of("one").await;
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!((&*span.trace_state, &span.status), ("a=1,b=2", &None));
    assert_eq!((&*span.name, span.kind), ("whimbrel.v1.FeedService/Follow", 2));
    let attribute = |key| text(&span.attributes, key);
    assert_eq!(attribute("rpc.system"), "grpc");
    assert_eq!(attribute("rpc.service"), "whimbrel.v1.FeedService");
    assert_eq!(attribute("rpc.method"), "Follow");
    assert_eq!(attribute("rpc.grpc.status_code"), "0");
    assert_eq!(attribute("client.address"), "127.0.0.1");
    let waits = collector.within(&span);
    for name in ["queue", "flush", "apply"] {
        let wait = waits.iter().find(|wait| wait.name == name).expect(name);
        assert!(wait.start_time_unix_nano >= span.start_time_unix_nano, "{name}");
        assert!(wait.start_time_unix_nano <= wait.end_time_unix_nano, "{name}");
        assert!(wait.end_time_unix_nano <= span.end_time_unix_nano, "{name}");
        assert_eq!(wait.trace_id, span.trace_id);
    }
    let resource = collector.resources().remove(0).resource.unwrap();
    assert_eq!(text(&resource.attributes, "service.name"), "feeds");
    assert_eq!(text(&resource.attributes, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&resource.attributes, "service.instance.id").len(), 36);
}

/// An error of the caller is none of the server.
#[tokio::test]
async fn a_span_says_how_the_call_failed() {
    let collector = Collector::start().await;
    let server = traced(collector.tracing()).await;
    let mut feeds = FeedServiceClient::new(server.channel());
    feeds.follow(follow("alice", "alice", &[(ID, "self")])).await.unwrap_err();
    let span = collector.span_of("self").await;
    let code = (Code::InvalidArgument as i32).to_string();
    assert_eq!(text(&span.attributes, "rpc.grpc.status_code"), code);
    assert_eq!(text(&span.attributes, "error.type"), "SELF_FOLLOW");
    assert_eq!(span.status, None);
    assert!(span.parent_span_id.is_empty(), "the trace begins here");
}

/// Its span ends when it is live, not when it ends.
#[tokio::test]
async fn a_stream_has_a_span_until_it_is_live() {
    let collector = Collector::start().await;
    let server = traced(collector.tracing()).await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let watch = WatchFeedRequest { user_id: "alice".to_owned(), ..Default::default() };
    let stream = feeds.watch_feed(with_headers(watch, &[(ID, "watch")])).await.unwrap();
    let span = collector.span_of("watch").await;
    assert_eq!(span.name, "whimbrel.v1.FeedService/WatchFeed");
    drop(stream);
    feeds.news_feed(news_feed("alice", &[(ID, "later")])).await.unwrap();
    collector.span_of("later").await;
    let names = collector.spans().into_iter().filter(|it| it.name == span.name);
    assert_eq!(names.count(), 1, "one span for one opening");
}

/// Whether calls with these headers are traced, at a ratio of `sampling`.
async fn are_traced(tracing: Tracing, parents: &[&str]) -> Vec<bool> {
    let collector = Collector::start().await;
    let server = traced(Tracing { endpoint: collector.tracing().endpoint, ..tracing }).await;
    let mut feeds = FeedServiceClient::new(server.channel());
    for (at, parent) in parents.iter().enumerate() {
        let headers = [(ID, &*at.to_string()), ("traceparent", parent)];
        feeds.news_feed(news_feed("alice", &headers)).await.unwrap();
    }
    // All that there is is sent when it stops.
    server.stop().await;
    let ids: Vec<_> =
        collector.spans().iter().map(|it| text(&it.attributes, "whimbrel.call_id")).collect();
    (0..parents.len()).map(|at| ids.contains(&at.to_string())).collect()
}

/// By the ratio alone, unless callers are trusted.
#[tokio::test]
async fn who_decides_what_is_traced() {
    let (sampled, unsampled) = (sampled(), unsampled());
    let parents = [&*sampled, &*unsampled];
    let at = |sampling, trusts_callers| {
        let nowhere = tracing_to(([127, 0, 0, 1], 1).into());
        Tracing { sampling, trusts_callers, ..nowhere }
    };
    assert_eq!(are_traced(at(0.0, false), &parents).await, [false, false]);
    assert_eq!(are_traced(at(1.0, false), &parents).await, [true, true]);
    assert_eq!(are_traced(at(0.0, true), &parents).await, [true, false]);
    assert_eq!(are_traced(at(1.0, true), &parents).await, [true, false]);
}

/// They are as good as none: the call is answered, and its trace begins here.
#[tokio::test]
async fn a_parent_that_is_not_valid_is_ignored() {
    let collector = Collector::start().await;
    let server = traced(collector.tracing()).await;
    let mut feeds = FeedServiceClient::new(server.channel());
    let hostile = [
        String::new(),
        "00".to_owned(),
        format!("00-{TRACE}-{PARENT}"),
        format!("00-{TRACE}-{PARENT}-01-more"),
        format!("ff-{TRACE}-{PARENT}-01"),
        format!("00-{}-{PARENT}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
        format!("00-{}-{PARENT}-01", "x".repeat(32)),
        format!("00_{TRACE}-{PARENT}-01"),
        "-".repeat(55),
        "a".repeat(4_000),
    ];
    for (at, parent) in hostile.iter().enumerate() {
        let id = format!("hostile-{at}");
        let headers = [(ID, &*id), ("traceparent", &**parent)];
        feeds.news_feed(news_feed("alice", &headers)).await.unwrap();
    }
    for (at, parent) in hostile.iter().enumerate() {
        let span = collector.span_of(&format!("hostile-{at}")).await;
        assert!(span.parent_span_id.is_empty(), "{parent}");
        assert_ne!(hex(&span.trace_id), TRACE, "{parent}");
    }
    // Of a later version, it is read as far as it is known. A state that is too long is dropped.
    let parent = format!("01-{TRACE}-{PARENT}-01-more");
    let state = format!("a={}", "1".repeat(600));
    let headers = [(ID, "later"), ("traceparent", &*parent), ("tracestate", &*state)];
    feeds.news_feed(news_feed("alice", &headers)).await.unwrap();
    let span = collector.span_of("later").await;
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(span.trace_state, "");
}

/// Calls are answered, what is lost is counted, and the server stops in time.
#[tokio::test]
async fn a_collector_that_is_away_or_stuck_delays_nobody() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stuck = Collector::stuck().await;
    for tracing in [tracing_to(closed), stuck.tracing()] {
        let server = traced(tracing).await;
        let mut feeds = FeedServiceClient::new(server.channel());
        // More than the queue and a batch hold.
        for _ in 0..2_048 + 512 + 10 {
            within("a read", feeds.news_feed(news_feed("alice", &[]))).await.unwrap();
        }
        let dropped = async || {
            let it = scrape(server.admin_address()).await;
            let dropped = it.sum("whimbrel_traced_calls_total", &[("outcome", "dropped")]);
            (dropped > 0.0).then_some(())
        };
        eventually("calls to be dropped", dropped).await;
        within("the stop", server.stop()).await;
    }
}

/// What a slow disk does is seen in the span.
#[tokio::test]
async fn a_flush_that_hangs_is_the_wait_of_its_span() {
    let (collector, appends) = (Collector::start().await, Valve::default());
    let server = Setup::new().tracing(collector.tracing()).appends_through(&appends).start().await;
    let mut feeds = FeedServiceClient::new(server.channel());
    appends.shut();
    let mut following = feeds.clone();
    let call = async move { following.follow(follow("alice", "bob", &[(ID, "held")])).await };
    let (held, held_time) = tokio::join!(call, async {
        appends.holds_one().await;
        let since = Instant::now();
        feeds.news_feed(news_feed("alice", &[])).await.unwrap();
        let held_time = since.elapsed();
        appends.open();
        held_time
    });
    held.unwrap();
    let span = collector.span_of("held").await;
    let waits = collector.within(&span);
    let flush = waits.iter().find(|wait| wait.name == "flush").expect("it is durable");
    let time = flush.end_time_unix_nano - flush.start_time_unix_nano;
    assert!(u128::from(time) >= held_time.as_nanos(), "{waits:?}");
}

/// What runs the command line in a trace sees its calls in it.
#[tokio::test]
async fn the_command_line_goes_on_with_the_trace_in_its_environment() {
    let collector = Collector::start().await;
    let server = traced(collector.tracing()).await;
    let address = server.address();
    let follow = move || {
        let program = Program::calling(address).with("TRACEPARENT", &sampled());
        program.run("follow alice bob").printed().to_owned()
    };
    tokio::task::spawn_blocking(follow).await.unwrap();
    let of_trace = async || collector.spans().into_iter().find(|it| hex(&it.trace_id) == TRACE);
    let span = eventually("a span of the trace", of_trace).await;
    assert_eq!(hex(&span.parent_span_id), PARENT);
}
