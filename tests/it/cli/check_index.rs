//! Checks of the index against the log: by a running server, and of a folder that none uses.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use whimbrel::api::v1::{CheckIndexRequest, DeletePostRequest, LikeRequest, PublishRequest};
use whimbrel::client::Client;
use whimbrel::config::Limits;
use whimbrel::model::Revision;
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log};

use crate::harness::program::Program;
use crate::harness::{INDEX_OPTIONS, LOG_OPTIONS, Setup, TestServer, eventually};

/// A server that writes its index and erases posts all the time.
fn setup() -> Setup {
    Setup::new().limits(|limits: &mut Limits| {
        limits.index_events_max = 50;
        limits.index_write_delay_max = Duration::from_millis(20);
        limits.compaction_interval = Duration::from_millis(50);
    })
}

async fn client(server: &TestServer) -> Client {
    Client::connect(&server.address().to_string()).await.unwrap()
}

/// Follows, mentions, likes, request ids and deletions, until it is `stopped`.
fn write(server: &TestServer, stopped: &CancellationToken) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for number in 0..3 {
        let (name, other) = (format!("user{number}"), format!("user{}", (number + 1) % 3));
        let (user, stopped) = (server.user(&name), stopped.clone());
        let client = Client::connect_lazily(&server.address().to_string()).unwrap();
        writers.spawn(async move {
            user.follows(&other).await;
            for round in 0.. {
                if stopped.is_cancelled() {
                    return;
                }
                let publish = PublishRequest {
                    user_id: name.clone(),
                    text: format!("hello @{other} {round}"),
                    request_id: format!("request {round}"),
                    ..Default::default()
                };
                let post_id = client.publish(publish).await.unwrap().post.unwrap().post_id;
                let user_id = name.clone();
                if round % 2 == 0 {
                    client.delete_post(DeletePostRequest { user_id, post_id }).await.unwrap();
                } else {
                    client.like(LikeRequest { user_id, post_id }).await.unwrap();
                }
            }
        });
    }
    writers
}

/// While all is written, and posts that mention users are erased, every row is the one that the log gives;
/// so are those that are left when the server has stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_in_use_is_what_the_log_gives() {
    let server = setup().start().await;
    let stopped = CancellationToken::new();
    let writers = write(&server, &stopped);
    let (address, mut before) = (server.address().to_string(), 0);
    for _ in 0..3 {
        let line = eventually("more rows in the index", async || {
            let ran = Program::new().run(&format!("--json check-index --addr {address}"));
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let line = ran.lines().remove(0)["response"].take();
            assert_eq!(line["revision"], line["untilRevision"]);
            let rows = line["rows"].as_str().unwrap().parse::<u64>().unwrap();
            (rows > before + 200).then_some(rows)
        })
        .await;
        before = line;
    }
    let erased = eventually("erased posts", async || {
        let log = whimbrel::storage::check_log(server.folder().path(), &mut |_| {}).unwrap();
        Some(log.erased_until).filter(|until| until.get() > 100)
    })
    .await;
    assert!(erased > Revision::ZERO);
    stopped.cancel();
    writers.join_all().await;
    let folder = server.folder();
    let check = format!("check --data {}", folder.path().display());
    let ran = Program::new().run(&check);
    assert!(ran.stderr.contains("a server uses the folder") && ran.code == Some(0), "{ran:?}");
    server.stop().await;
    let ran = Program::new().run(&check);
    assert!(ran.printed().contains("as the log gives them"), "{ran:?}");
}

/// A row that the log does not give: a check without a server names the table, and changes nothing; one of
/// the server too, and then the server has a right index again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_row_is_found_and_repaired() {
    let server = setup().start().await;
    server.user("alice").follows("bob").await;
    server.user("alice").publishes_many("post ", 20).await;
    let folder = server.folder();
    server.stop().await;
    std::fs::remove_file(folder.path().join("index.redb")).unwrap();
    write_wrong_index(folder.path());

    let check = format!("check --data {}", folder.path().display());
    for _ in 0..2 {
        let ran = Program::new().run(&check);
        ran.failed(1, "its table edges differs from the log");
    }
    let server = setup().start_on(Arc::clone(&folder)).await;
    let client = client(&server).await;
    let mut steps = client.check_index(CheckIndexRequest {}).await.unwrap();
    let error = loop {
        match steps.next().await {
            Ok(Some(step)) => assert!(!step.is_done),
            Ok(None) => panic!("it found nothing"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("INDEX_DAMAGED") && error.contains("its table edges"), "{error}");
    eventually("a right index", async || {
        let mut steps = client.check_index(CheckIndexRequest {}).await.ok()?;
        let mut last = None;
        while let Some(step) = steps.next().await.ok()? {
            last = Some(step);
        }
        last.filter(|step| step.is_done && step.rows > 20)
    })
    .await;
    server.stop().await;
    assert!(Program::new().run(&check).printed().contains("as the log gives them"));
}

/// Writes an index that has a follow too many.
fn write_wrong_index(dir: &std::path::Path) {
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(dir, LOG_OPTIONS).unwrap());
    let limits = Limits::default();
    let opened = Index::open(dir, &*log, INDEX_OPTIONS, limits.request_id_retention).unwrap();
    let state = State::load(Arc::clone(&log), opened, &limits).unwrap();
    let index = state.index().unwrap();
    let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
    for entry in &entries {
        state.apply(entry.revision, &entry.event).unwrap();
    }
    let mut writing = state.write_to(index).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let mut rows = writing.into_rows();
    rows.set_edge(1, 0, Some(Revision::new(2)));
    index.write(&rows, log.head(), log.chain(log.head()).unwrap().unwrap()).unwrap();
    index.install_new_file();
}
