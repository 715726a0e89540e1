//! `whimbrel top`: its figures are those of the server, and what is no server is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::harness::admin::get;
use crate::harness::program::{Program, Ran};
use crate::harness::{Setup, TestServer};

/// The figures are of what a server does meanwhile.
#[tokio::test]
async fn the_figures_are_of_a_running_server() {
    let server = Setup::new().admin().start().await;
    let top = run(server.admin_address(), "--count 1");
    let (alice, _watching) = (server.user("alice"), server.user("bob").watches().await);
    while !top.is_finished() {
        alice.publishes("hi").await;
        alice.tries_to_follow("alice").await.unwrap_err();
    }
    let figures = figures(&top.join().unwrap());
    assert!(number(&figures, "/calls/perSecond") > number(&figures, "/changes/perSecond"));
    assert!(number(&figures, "/changes/flush/p99") >= number(&figures, "/changes/flush/p50"));
    assert!(number(&figures, "/storage/headRevision") >= 1.0);
    assert!(number(&figures, "/process/memoryBytes") > 1e6);
    assert_eq!(number(&figures, "/streams/open"), 1.0);
    assert_eq!(figures["storage"]["isIndexUsable"], true);
    let rpcs: Vec<_> = figures["rpcs"].as_array().unwrap().iter().map(|it| &it["rpc"]).collect();
    for rpc in ["Publish", "Follow", "WatchFeed"] {
        assert!(rpcs.contains(&&format!("whimbrel.v1.FeedService/{rpc}").into()), "{rpcs:?}");
    }
    assert_eq!(figures["errors"][0]["reason"], "SELF_FOLLOW");
    let text = run_for_people(server.admin_address()).join().unwrap();
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.stdout.contains("revision ") && !text.stdout.contains('\x1b'), "{text:?}");
}

/// A rate is what was added, divided by the time between; a percentile is of what was added.
#[tokio::test]
async fn the_figures_are_of_the_time_between_two_looks() {
    let server = Setup::new().admin().start().await;
    let mut before = text_of(&server).await;
    set(&mut before, "whimbrel_commit_batch_events_sum", 1_000);
    set(&mut before, "whimbrel_commit_flush_seconds_bucket{le=\"+Inf\"}", 7);
    let mut after = before.clone();
    set(&mut after, "whimbrel_commit_batch_events_sum", 1_500);
    for (bound, count) in [("0.0005", 50), ("0.001", 100), ("0.0025", 100), ("0.005", 100)] {
        set(&mut after, &format!("whimbrel_commit_flush_seconds_bucket{{le=\"{bound}\"}}"), count);
    }
    set(&mut after, "whimbrel_commit_flush_seconds_bucket{le=\"+Inf\"}", 107);
    let publish = "whimbrel_calls_total{rpc=\"whimbrel.v1.FeedService/Publish\",code=";
    set(&mut after, &format!("{publish}\"OK\",reason=\"\"}}"), 30);
    after += &format!("{publish}\"Unavailable\",reason=\"a \\\"quoted\\\" one\"}} 10\n");
    let (address, answered) = answers(vec![before, after]);
    let figures = figures(&run(address, "--count 1").join().unwrap());
    answered.join().unwrap();

    let seconds = number(&figures, "/intervalSeconds");
    let added = |rate: &str| (number(&figures, rate) * seconds).round();
    assert_eq!(added("/changes/perSecond"), 500.0);
    assert_eq!(added("/calls/perSecond"), 40.0);
    assert_eq!(added("/calls/errorsPerSecond"), 10.0);
    assert_eq!(added("/rpcs/0/errorsPerSecond"), 10.0);
    assert_eq!(added("/errors/0/perSecond"), 10.0);
    assert_eq!(figures["errors"][0]["reason"], "a \"quoted\" one");
    let microseconds = |time: &str| (number(&figures, time) * 1e3).round();
    assert_eq!(microseconds("/changes/flush/p50"), 500.0);
    assert_eq!(microseconds("/changes/flush/p99"), 990.0);
    assert_eq!(figures["streams"]["delay"]["p50"], Value::Null, "nothing was delivered");
}

/// A server that starts again has counts from zero: no figure is made of them and of those before.
#[tokio::test]
async fn a_server_that_starts_again_is_told_apart() {
    let server = Setup::new().admin().start().await;
    let mut before = text_of(&server).await;
    set(&mut before, "whimbrel_commit_batch_events_sum", 1_000);
    let mut again = text_of(&server).await;
    set(&mut again, "process_start_time_seconds", 5);
    let mut after = again.clone();
    set(&mut after, "whimbrel_commit_batch_events_sum", 3);
    let (address, answered) = answers(vec![before, again, after]);
    let ran = run(address, "--count 1").join().unwrap();
    answered.join().unwrap();
    assert!(ran.stderr.contains("started again"), "{ran:?}");
    let figures = figures(&ran);
    let added = number(&figures, "/changes/perSecond") * number(&figures, "/intervalSeconds");
    assert_eq!(added.round(), 3.0);
}

/// What is no admin listener of this version is named, with what to do.
#[tokio::test]
async fn what_is_no_server_is_refused() {
    let server = Setup::new().admin().start().await;
    let text = text_of(&server).await;
    let without: Vec<_> =
        text.lines().filter(|line| !line.starts_with("whimbrel_log_bytes")).collect();
    let without = without.join("\n") + "\n";
    for (texts, said) in [
        (vec!["hello\n".to_owned()], "hello"),
        (vec!["up{job=\"x\" 1\n".to_owned()], "no metrics but"),
        (vec![without.clone(), without], "no metric whimbrel_log_bytes"),
    ] {
        let (address, answered) = answers(texts);
        let ran = run(address, "--count 1").join().unwrap();
        answered.join().unwrap();
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let calls = run(server.address(), "--count 1").join().unwrap();
    assert_eq!(calls.code, Some(3));
    assert!(calls.stderr.contains("--admin-listen"), "{calls:?}");
    let refused = Program::new().run("top --admin https://localhost:1");
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

fn run(address: SocketAddr, arguments: &str) -> JoinHandle<Ran> {
    let arguments = format!("top --admin {address} {arguments} --json");
    thread::spawn(move || Program::new().run(&arguments))
}

fn run_for_people(address: SocketAddr) -> JoinHandle<Ran> {
    thread::spawn(move || Program::new().run(&format!("top --admin http://{address}/ --count 1")))
}

fn figures(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let line: Value = serde_json::from_str(&ran.stdout).expect("one line");
    line["figures"].clone()
}

fn number(figures: &Value, at: &str) -> f64 {
    let number = figures.pointer(at).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no number at {at} in {figures}"))
}

async fn text_of(server: &TestServer) -> String {
    get(server.admin_address(), "/metrics").await.body
}

/// Gives a sample that is in `text` another value.
fn set(text: &mut String, sample: &str, value: u64) {
    let begin = format!("{sample} ");
    let is_it = |line: &&str| line.starts_with(&begin);
    assert_eq!(text.lines().filter(is_it).count(), 1, "{sample} in {text}");
    let lines = text.lines().map(|line| match is_it(&line) {
        true => format!("{begin}{value}\n"),
        false => format!("{line}\n"),
    });
    *text = lines.collect();
}

/// Answers as many requests as there are texts.
fn answers(texts: Vec<String>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answered = thread::spawn(move || {
        for text in texts {
            let (mut socket, _) = listener.accept().unwrap();
            let request = BufReader::new(socket.try_clone().unwrap());
            let head: Vec<_> =
                request.lines().map(Result::unwrap).take_while(|it| !it.is_empty()).collect();
            assert!(head[0].starts_with("GET /metrics "), "{head:?}");
            let length = text.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            socket.write_all((head + &text).as_bytes()).unwrap();
        }
    });
    (address, answered)
}
