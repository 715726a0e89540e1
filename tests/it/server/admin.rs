//! The admin listener: what it answers, to whom, and when.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use whimbrel::config::{self, Config};
use whimbrel::runtime::Clock;
use whimbrel::server::{Error, Server};
use whimbrel::storage::{LocalLog, Log};

use crate::harness::admin::{ask, get};
use crate::harness::program::Program;
use crate::harness::{HookedLog, LOG_OPTIONS, Setup, User, Valve, connect, eventually, within};

/// Each page, in the forms that scrapers ask for, and to nothing but reads.
#[tokio::test]
async fn it_answers_reads_of_its_pages() {
    let server = Setup::new().admin().start().await;
    let admin = server.admin_address();
    for path in ["/livez", "/readyz"] {
        let answer = get(admin, path).await;
        assert_eq!((answer.code, answer.body.as_str()), (200, "ok\n"), "{path}: {answer:?}");
    }
    let version: Value = serde_json::from_str(&get(admin, "/version").await.body).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));

    let plain = get(admin, "/metrics").await;
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4"), "{plain:?}");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
    let open = ask(admin, &request).await;
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{open:?}");
    assert!(open.body.ends_with("# EOF\n") && !plain.body.contains("# EOF"));

    let head = ask(admin, "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    let post = ask(admin, "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(post.code, 405, "{post:?}");
    assert!(post.head.contains("allow: get, head") && post.body.contains("only be read"));
    let unknown = get(admin, "/debug/pprof").await;
    assert_eq!(unknown.code, 404);
    assert!(unknown.body.contains("/metrics, /livez, /readyz and /version"), "{unknown:?}");
}

/// A request that is too long or no HTTP is refused, and many who say nothing keep nobody out for ever.
#[tokio::test]
async fn what_it_reads_is_limited() {
    let server = Setup::new().admin().start().await;
    let admin = server.admin_address();
    let long = format!("GET /livez HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
    let mut refused = TcpStream::connect(admin).await.unwrap();
    // It may close before all is sent.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut refused, long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("the server to close", refused.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));

    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(admin).await.unwrap());
    }
    assert_eq!(get(admin, "/livez").await.code, 200);
    // The first ones were closed for it.
    let closed = within("the server to close", silent[0].read_to_end(&mut answer)).await;
    closed.unwrap();
}

/// While the server starts, it lives and is not ready; and not while it stops.
#[tokio::test]
async fn it_says_why_the_server_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = Setup::new().admin().config(folder.path());
    let server = Server::open(config).await.unwrap();
    let admin = server.admin_address().unwrap();
    let starting = get(admin, "/readyz").await;
    assert_eq!((starting.code, starting.body.contains("starts")), (503, true), "{starting:?}");
    assert_eq!(get(admin, "/livez").await.code, 200);
    drop(server);

    let server = Setup::new()
        .limits(|limits| limits.drain_notice = Duration::from_secs(3_600))
        .admin()
        .start()
        .await;
    let admin = server.admin_address();
    assert_eq!(get(admin, "/readyz").await.code, 200);
    server.begin_to_stop();
    let is_stopping = async || (get(admin, "/readyz").await.code == 503).then_some(());
    eventually("the server not to be ready", is_stopping).await;
    assert!(get(admin, "/readyz").await.body.contains("stops"));
    assert_eq!(get(admin, "/livez").await.code, 200, "it drains, and that is life");
}

/// A worker that is stuck is named, and the listener still answers.
#[tokio::test]
async fn a_stuck_worker_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let valve = Valve::default();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let hook = valve.clone();
    let log = HookedLog::before(log, move || hook.pass());
    let limits = |limits: &mut config::Limits| {
        limits.worker_silence_max = Duration::from_millis(500);
    };
    let config = Setup::new().limits(limits).admin().config(folder.path());
    let server = Server::with_log(config, log, Clock::system()).await.unwrap();
    let (address, admin) = (server.address(), server.admin_address().unwrap());
    let mut running = JoinSet::new();
    running.spawn(server.run(std::future::pending()));
    let user = User::new("alice", connect(address));
    let cursor = user.publishes_once("hi", "").await.cursor;
    assert_eq!(get(admin, "/livez").await.code, 200);

    valve.shut();
    // The stream is opened on a worker, which waits for the valve.
    running.spawn(async move {
        user.watches_after(&cursor).await;
        Ok(())
    });
    valve.holds_one().await;
    let stuck = async || Some(get(admin, "/livez").await).filter(|answer| answer.code == 503);
    let stuck = eventually("the stuck worker to be noticed", stuck).await;
    assert!(stuck.body.starts_with("worker ") && stuck.body.contains("has not run"), "{stuck:?}");
    let silence = get(admin, "/metrics").await.body;
    assert!(silence.contains("whimbrel_worker_silence_seconds{worker=\"1\"}"));
    valve.open();
    let lives = async || (get(admin, "/livez").await.code == 200).then_some(());
    eventually("the worker to run again", lives).await;
}

/// An address that other machines reach is refused unless it is allowed by name, and one that is in use
/// with what to do. Nothing is touched before.
#[tokio::test]
async fn its_address_is_checked_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let open = "0.0.0.0:0".parse().unwrap();
    let config = Config { admin_listen: vec![open], ..Setup::new().config(&data_dir) };
    let error = config.check().unwrap_err();
    assert!(matches!(error, config::Error::AdminOpenToTheNetwork { listen } if listen == open));
    assert!(error.to_string().contains("--insecure-admin"), "{error}");
    Config { insecure_admin: true, ..config }.check().expect("it is allowed");

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let config = Config { admin_listen: vec![taken], ..Setup::new().config(&data_dir) };
    let error = Server::open(config).await.unwrap_err();
    assert!(matches!(error, Error::ListenAdmin { address, .. } if address == taken), "{error}");
    assert!(error.to_string().contains("choose another --admin-listen, or none"), "{error}");
    assert!(!data_dir.exists());
}

/// The flags of the program.
#[test]
fn the_program_takes_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |flags: &str| {
        let data = data.display();
        Program::new().run(&format!("serve --listen 127.0.0.1:0 --data {data} {flags}"))
    };
    serve("--admin-listen *:0").failed(4, "refusing to serve metrics on 0.0.0.0:0");
    serve("--admin-listen nowhere").failed(2, "there is no port: write nowhere:50051");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    serve(&format!("--admin-listen {taken}")).failed(4, "choose another --admin-listen");
    assert!(!data.exists());
}
