//! The threads that connections live on: each keeps what it has, and a panic on one of them ends
//! the server, visibly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::runtime::{Clock, CriticalThreads, Workers, current_shard, spawn_local};
use whimbrel::server::{Error, Server};
use whimbrel::storage::{LocalLog, Log, StorageOptions};

use crate::harness::{HookedLog, Setup, TestServer, User, connect, within};

/// A worker knows its number, and what it spawns stays with it. Other threads have none.
#[tokio::test]
async fn tasks_stay_on_their_worker() {
    let workers = Workers::start(3, &CriticalThreads::new()).unwrap();
    assert_eq!((workers.count(), current_shard()), (3, 0));
    for number in 1..=3 {
        let (tell, told) = oneshot::channel();
        let task = move || async move {
            let first = current_shard();
            spawn_local(async move { tell.send((first, current_shard())).unwrap() });
        };
        workers.spawn_on(number, task).await;
        assert_eq!(within("the task", told).await.unwrap(), (number, number));
    }
    workers.stop().await;
}

/// A task that panics takes its worker down, by name and with its message; the others go on.
#[tokio::test]
async fn a_panic_ends_its_worker_only() {
    let critical = CriticalThreads::new();
    let workers = Workers::start(2, &critical).unwrap();
    let (held, dropped) = oneshot::channel::<()>();
    workers
        .spawn_on(1, || async move {
            std::future::pending::<()>().await;
            drop(held)
        })
        .await;
    workers.spawn_on(1, || async { spawn_local(async { panic!("on purpose") }) }).await;
    let failure = within("the failure", critical.failed()).await;
    assert_eq!(failure.part, "whimbrel-worker-1");
    assert!(failure.reason.contains("on purpose"), "{failure}");
    within("its other tasks to end", dropped).await.expect_err("nothing was sent");

    let (tell, told) = oneshot::channel();
    workers.spawn_on(2, || async { tell.send(()).unwrap() }).await;
    within("the other worker", told).await.unwrap();
    // A job for the one that is gone is dropped.
    workers.spawn_on(1, || async {}).await;
    workers.stop().await;
}

/// A worker that is behind holds up nobody who has something for it: they are told, once as much
/// waits as may, and the others go on.
#[tokio::test]
async fn a_worker_that_is_behind_is_waited_for_by_nobody() {
    let workers = Workers::start(2, &CriticalThreads::new()).unwrap();
    let (resume, resumed) = std::sync::mpsc::channel::<()>();
    let (tell, blocked) = oneshot::channel();
    let block = move || async move {
        tell.send(()).unwrap();
        resumed.recv().unwrap_err();
    };
    assert!(workers.try_spawn_on(1, block));
    within("the worker to be blocked", blocked).await.unwrap();
    let mut waiting = 0;
    while workers.try_spawn_on(1, || async {}) {
        waiting += 1;
        assert!(waiting <= 1 << 16, "there is no end to what may wait");
    }
    assert!(waiting > 0);
    let (tell, told) = oneshot::channel();
    assert!(workers.try_spawn_on(2, || async { tell.send(()).unwrap() }));
    within("the other worker", told).await.unwrap();

    drop(resume);
    let (tell, told) = oneshot::channel();
    workers.spawn_on(1, || async { tell.send(()).unwrap() }).await;
    within("the worker to go on", told).await.unwrap();
    assert!(!workers.try_spawn_on(3, || async {}), "there is no such worker");
    workers.stop().await;
}

/// Workers that are dropped end what they run, without being waited for.
#[tokio::test]
async fn dropped_workers_end() {
    let workers = Workers::start(1, &CriticalThreads::new()).unwrap();
    let (held, dropped) = oneshot::channel::<()>();
    workers
        .spawn_on(1, || async move {
            std::future::pending::<()>().await;
            drop(held)
        })
        .await;
    drop(workers);
    within("the task to end", dropped).await.expect_err("nothing was sent");
}

/// A panic inside a call ends the server with an error that says where and why.
#[tokio::test]
async fn a_panic_in_a_call_ends_the_server() {
    let armed = Arc::new(AtomicBool::new(false));
    let hook = {
        let armed = Arc::clone(&armed);
        move || assert!(!armed.load(Ordering::SeqCst), "spoilt on purpose")
    };
    let (server, user, _folder) = hooked(2, hook).await;
    let mut served = JoinSet::new();
    served.spawn(server.run(std::future::pending()));
    let user = user(0);
    let cursor = user.publishes_once("hi", "").await.cursor;

    armed.store(true, Ordering::SeqCst);
    let call = user.tries_to_watch(after(&cursor)).await;
    call.expect_err("the call is not answered");
    let ended = within("the server to end", served.join_next()).await.unwrap().unwrap();
    let Err(Error::Failed(failure)) = ended else { panic!("it did not fail: {ended:?}") };
    assert!(failure.part.starts_with("whimbrel-worker-"), "{failure}");
    assert!(failure.reason.contains("spoilt on purpose"), "{failure}");
}

/// Connections are spread evenly over the workers, and a place that was left is taken again.
#[tokio::test]
async fn connections_are_spread_over_the_workers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let seen = Arc::clone(&seen);
        move || seen.lock().unwrap().push(current_shard())
    };
    let (server, user, _folder) = hooked(3, hook).await;
    let mut served = JoinSet::new();
    served.spawn(server.run(std::future::pending()));
    let cursor = user(0).publishes_once("hi", "").await.cursor;
    // The first user's connection is among them as long as it is in use.
    let mut streams = Vec::new();
    for number in 1..=9 {
        seen.lock().unwrap().clear();
        let mut stream = user(number).watches_as(after(&cursor)).await;
        stream.opened().await;
        let lanes = seen.lock().unwrap().iter().copied().find(|&lane| lane > 0);
        streams.push((lanes.expect("it was opened on a worker"), stream));
    }
    for worker in 1..=3 {
        let on_it = streams.iter().filter(|(lane, _)| *lane == worker).count();
        assert_eq!(on_it, 3, "worker {worker}");
    }
}

/// A server that is dropped while it runs ends its workers: the connections are closed, and the
/// data folder is free.
#[tokio::test]
async fn a_server_that_is_dropped_lets_go() {
    let server = TestServer::start().await;
    let folder = server.folder();
    let mut stream = server.user("alice").watches().await;
    stream.live().await;
    drop(server);
    stream.ended().await;
    Setup::new().start_on(folder).await.user("bob").publishes("hi").await;
}

fn after(cursor: &str) -> WatchFeedRequest {
    let start = Some(Start::AfterCursor(cursor.to_owned()));
    WatchFeedRequest { start, ..WatchFeedRequest::default() }
}

/// A server whose log calls `hook` where a stream with a cursor is opened, and its users, each on a
/// connection of their own.
async fn hooked(
    workers: usize,
    hook: impl Fn() + Send + Sync + 'static,
) -> (Server, impl Fn(u32) -> User, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Setup::new().limits(|limits| limits.worker_threads = workers).config(folder.path());
    let options = StorageOptions { cache_bytes: 1 << 20, disk_free_bytes_min: 0 };
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), options).unwrap());
    let server = Server::with_log(config, HookedLog::before(log, hook), Clock::system()).await;
    let server = server.unwrap();
    let address = server.address();
    let user = move |number| User::new(&format!("user{number}"), connect(address));
    (server, user, folder)
}
