//! Worker threads: a connection stays on its worker, and a panic of a worker ends the server
//! visibly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use whimbrel::api::v1::WatchFeedRequest;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::runtime::{Clock, CriticalThreads, Workers, current_shard, spawn_local};
use whimbrel::server::{Error, Server};
use whimbrel::storage::{LocalLog, Log};

use crate::harness::{HookedLog, LOG_OPTIONS, Setup, TestServer, User, connect, within};

/// A worker knows its shard number, and its tasks stay on it. Other threads have none.
#[tokio::test]
async fn tasks_stay_on_their_worker() {
    let workers = Workers::start(3, &CriticalThreads::new()).unwrap();
    assert_eq!((workers.count(), current_shard()), (3, 0));
    for number in 1..=3 {
        let (report, reported) = oneshot::channel();
        let task = move || async move {
            let first = current_shard();
            spawn_local(async move { report.send((first, current_shard())).unwrap() });
        };
        workers.spawn_on(number, task).await;
        assert_eq!(within("the task", reported).await.unwrap(), (number, number));
    }
    workers.stop().await;
}

/// A panic of a task ends its worker, and is reported with the worker's name and the message. The
/// other workers continue.
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

    let (report, reported) = oneshot::channel();
    workers.spawn_on(2, || async { report.send(()).unwrap() }).await;
    within("the other worker", reported).await.unwrap();
    // A job for the ended worker is dropped.
    workers.spawn_on(1, || async {}).await;
    workers.stop().await;
}

/// A blocked worker delays no other: jobs for it are refused once its queue is full, and the other
/// workers continue.
#[tokio::test]
async fn a_blocked_worker_delays_no_other() {
    let workers = Workers::start(2, &CriticalThreads::new()).unwrap();
    let (resume, resumed) = std::sync::mpsc::channel::<()>();
    let (report, blocked) = oneshot::channel();
    let block = move || async move {
        report.send(()).unwrap();
        resumed.recv().unwrap_err();
    };
    assert!(workers.try_spawn_on(1, block));
    within("the worker to be blocked", blocked).await.unwrap();
    let mut waiting = 0;
    while workers.try_spawn_on(1, || async {}) {
        waiting += 1;
        assert!(waiting <= 1 << 16, "the queue has no limit");
    }
    assert!(waiting > 0);
    let (report, reported) = oneshot::channel();
    assert!(workers.try_spawn_on(2, || async { report.send(()).unwrap() }));
    within("the other worker", reported).await.unwrap();

    drop(resume);
    let (report, reported) = oneshot::channel();
    workers.spawn_on(1, || async { report.send(()).unwrap() }).await;
    within("the worker to continue", reported).await.unwrap();
    assert!(!workers.try_spawn_on(3, || async {}), "there is no such worker");
    workers.stop().await;
}

/// Dropped workers end their tasks, without being awaited.
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

/// A panic during a call ends the server with an error that names the worker and the reason.
#[tokio::test]
async fn a_panic_in_a_call_ends_the_server() {
    let armed = Arc::new(AtomicBool::new(false));
    let hook = {
        let armed = Arc::clone(&armed);
        move || assert!(!armed.load(Ordering::SeqCst), "panic on purpose")
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
    assert!(failure.reason.contains("panic on purpose"), "{failure}");
}

/// Connections are spread evenly over the workers. A free slot is used again.
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
    // The first user's connection counts as long as it is in use.
    let mut streams = Vec::new();
    for number in 1..=9 {
        seen.lock().unwrap().clear();
        let mut stream = user(number).watches_as(after(&cursor)).await;
        stream.opened().await;
        let shard = seen.lock().unwrap().iter().copied().find(|&shard| shard > 0);
        streams.push((shard.expect("it was opened on a worker"), stream));
    }
    for worker in 1..=3 {
        let on_it = streams.iter().filter(|(shard, _)| *shard == worker).count();
        assert_eq!(on_it, 3, "worker {worker}");
    }
}

/// A dropped server ends its workers: its connections are closed, and its data folder is free.
#[tokio::test]
async fn a_dropped_server_frees_its_folder() {
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

/// A server whose log calls `hook` when a stream with a cursor is opened, and its users, each on a
/// connection of their own.
async fn hooked(
    workers: usize,
    hook: impl Fn() + Send + Sync + 'static,
) -> (Server, impl Fn(u32) -> User, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Setup::new().limits(|limits| limits.worker_threads = workers).config(folder.path());
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    let server = Server::with_log(config, HookedLog::before(log, hook), Clock::system()).await;
    let server = server.unwrap();
    let address = server.address();
    let user = move |number| User::new(&format!("user{number}"), connect(address));
    (server, user, folder)
}
