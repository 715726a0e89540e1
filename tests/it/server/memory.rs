//! What the memory of a server is for: the table of docs/operations.md has the costs that are here, a
//! server process has them, and the formula there is never below what it uses.
//!
//! A cost is what more of a kind adds to a server that has some already: memory that is used only once,
//! or that freed parts leave to later ones, does not count. Only the memory of the process itself counts,
//! not the pages of the program's file, so that debug builds can be measured too.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{GetPostsRequest, PublishRequest, WatchFeedRequest};
use whimbrel::client::{Client, RevisionFeeds};
use whimbrel::model::{Change, Event, Timestamp};
use whimbrel::runtime::Clock;
use whimbrel::storage::{LocalLog, Log};

use crate::harness::core::user;
use crate::harness::{LOG_OPTIONS, connect, within};
use crate::server::process::ServerProcess;

/// A row of the table: its kind, and bytes each.
type Cost = (&'static str, u32);

const USER: Cost = ("user", 280);
const FOLLOW: Cost = ("follow", 18);
const POST: Cost = ("cached post of 140 bytes", 750);
const REQUEST_ID: Cost = ("request id", 120);
const CHANGE: Cost = ("change that the index lacks", 200);
const WATCHER: Cost = ("watcher", 3_900);
const CONNECTION: Cost = ("connection", 19_500);
/// Memory that a server takes however little data it has, in bytes: the program, tables, threads, the
/// cache of the index, and what a start leaves.
const FIXED_BYTES: u32 = 40 << 20;

/// How far a measured cost may be from the documented one.
const DEVIATION_MAX: f64 = 0.3;

/// Users of the smaller server. The other one has twice as many. A pair has a follow. Arrays of users
/// grow by doubling, and both numbers nearly fill one: otherwise unused rest would hide what a user takes.
const USERS: usize = 16_000;
const WATCHERS: usize = 2_000;
/// Watchers who share a connection.
const SHARED: usize = 100;
const CONNECTIONS: usize = 300;
const POSTS: usize = 3_000;
/// Posts that are published at once, and posts that are read at once.
const AT_ONCE: usize = 50;

/// A server process with users, and the streams that watch it.
struct Loaded {
    server: ServerProcess,
    watching: JoinSet<()>,
    users_watching: usize,
    _folder: TempDir,
}

/// The table says what is measured here.
#[test]
fn the_documented_costs_are_those_of_this_test() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    for (kind, bytes) in [USER, FOLLOW, POST, REQUEST_ID, CHANGE, WATCHER, CONNECTION] {
        let digits = bytes.to_string();
        let bytes = match digits.len().checked_sub(3) {
            Some(thousands) if thousands > 0 => {
                format!("{},{}", &digits[..thousands], &digits[thousands..])
            }
            _ => digits,
        };
        let row = format!("| {kind} | {bytes} B |");
        assert!(page.lines().any(|line| line.starts_with(&row)), "there is no {row}");
    }
    let fixed = format!("| fixed | {} MiB |", FIXED_BYTES >> 20);
    assert!(page.lines().any(|line| line.starts_with(&fixed)), "there is no {fixed}");
}

/// A process has the documented costs, and no more than the formula says.
#[tokio::test]
async fn a_process_has_the_documented_costs() {
    let (fewer, mut more) = tokio::join!(Loaded::start(USERS), Loaded::start(2 * USERS));
    let users = more.memory() - fewer.memory();
    drop(fewer);
    let mut wrong = Vec::new();
    wrong.extend(deviation("users", users, &[(USER, USERS), (FOLLOW, USERS / 2)]));

    more.watch(WATCHERS / 2, SHARED).await;
    let before = more.memory();
    more.watch(WATCHERS, SHARED).await;
    let connections = WATCHERS / SHARED;
    let expected = [(WATCHER, WATCHERS), (CONNECTION, connections)];
    wrong.extend(deviation("watchers", more.memory() - before, &expected));

    more.watch(CONNECTIONS / 3, 1).await;
    let before = more.memory();
    more.watch(CONNECTIONS, 1).await;
    let expected = [(WATCHER, CONNECTIONS), (CONNECTION, CONNECTIONS)];
    wrong.extend(deviation("connections", more.memory() - before, &expected));

    more.publish("early", POSTS / 3).await;
    let mut posts = POSTS / 3;
    let expected = [(POST, POSTS), (REQUEST_ID, POSTS), (CHANGE, POSTS)];
    // The index is written twice a minute, which frees what earlier changes took: on a slow machine in the
    // middle of one of these, and not of the next.
    let mut of_posts = None;
    for ids in ["late", "later"] {
        let before = more.memory();
        more.publish(ids, POSTS).await;
        posts += POSTS;
        of_posts = deviation("posts", more.memory() - before, &expected);
        if of_posts.is_none() {
            break;
        }
    }
    wrong.extend(of_posts);
    assert!(wrong.is_empty(), "docs/operations.md is wrong: {wrong:#?}");

    let connections = CONNECTIONS + CONNECTIONS / 3 + (WATCHERS + WATCHERS / 2) / SHARED;
    let all = [
        (USER, 2 * USERS),
        (FOLLOW, USERS),
        (WATCHER, more.users_watching),
        (CONNECTION, connections),
        (POST, posts),
        (REQUEST_ID, posts),
        (CHANGE, posts),
    ];
    let (used, predicted) = (more.memory(), f64::from(FIXED_BYTES) + sum(&all));
    eprintln!("all: {used:.0} bytes, {predicted:.0} by the formula");
    assert!(used <= predicted, "the process uses {used} bytes, and the formula says {predicted}");
}

fn sum(kinds: &[(Cost, usize)]) -> f64 {
    kinds.iter().map(|&((_, each), count)| f64::from(each) * count as f64).sum()
}

/// What is wrong if `kinds` do not take about `used` bytes.
fn deviation(what: &str, used: f64, kinds: &[(Cost, usize)]) -> Option<String> {
    let ratio = used / sum(kinds);
    eprintln!("{what}: {used:.0} bytes, {ratio:.2} of what is documented");
    let is_near = (ratio - 1.0).abs() <= DEVIATION_MAX;
    (!is_near).then(|| format!("{what} take {used:.0} bytes, {ratio:.2} of {kinds:?}"))
}

impl Loaded {
    /// Starts a server on a log of `users` users, in pairs of a follower and a followee.
    async fn start(users: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let server = spawn_blocking(move || {
            append_follows(&dir, users);
            // The first start replays the log, and makes the index that the second one loads, as
            // nearly every start does.
            assert_eq!(ServerProcess::start(&dir).terminate(), Some(0));
            ServerProcess::start(&dir)
        });
        let server = server.await.unwrap();
        let loaded = Self { server, watching: JoinSet::new(), users_watching: 0, _folder: folder };
        // A call first, so that memory that is needed only once does not count.
        Client::connect(&loaded.address()).await.unwrap().check_health().await.unwrap();
        loaded
    }

    fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// The memory of the process, in bytes, without pages of files.
    fn memory(&self) -> f64 {
        let rollup = format!("/proc/{}/smaps_rollup", self.server.pid());
        let rollup = fs::read_to_string(rollup).unwrap();
        let kib =
            rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")?.strip_suffix("kB"));
        kib.expect("the kernel counts it").trim().parse::<f64>().unwrap() * 1_024.0
    }

    /// Opens streams of `count` other users, `shared` on each connection, and reads them.
    async fn watch(&mut self, count: usize, shared: usize) {
        for _ in 0..count / shared {
            let users = self.users_watching..self.users_watching + shared;
            self.users_watching = users.end;
            let request =
                |user| WatchFeedRequest { user_id: name(user), ..WatchFeedRequest::default() };
            let requests: Vec<_> = users.map(request).collect();
            let mut feeds = RevisionFeeds::open(&self.address(), &requests).await.unwrap();
            // Read, because the server closes connections that do not answer.
            self.watching.spawn(async move { while feeds.receive(|_, _| {}).await.is_ok() {} });
        }
    }

    /// Publishes `count` posts with ids that begin with `ids`, and reads them.
    async fn publish(&self, ids: &'static str, count: usize) {
        let channel = connect(self.server.address());
        let client = Client::connect(&self.address()).await.unwrap();
        let mut publishing = JoinSet::new();
        for first in 0..AT_ONCE {
            let (client, mut posts) = (client.clone(), PostServiceClient::new(channel.clone()));
            publishing.spawn(async move {
                let mut post_ids = Vec::new();
                for number in (first..count).step_by(AT_ONCE) {
                    let request = PublishRequest {
                        // Nobody watches them.
                        user_id: name(2 * USERS - 1 - first),
                        text: "140 bytes. ".repeat(13)[..140].to_owned(),
                        request_id: format!("{ids}-{number}"),
                        ..PublishRequest::default()
                    };
                    post_ids.push(client.publish(request).await.unwrap().post.unwrap().post_id);
                }
                let user_id = "reader".to_owned();
                let request = GetPostsRequest { user_id, post_ids, ..Default::default() };
                posts.get_posts(request).await.unwrap();
            });
        }
        within("all posts", publishing.join_all()).await;
    }
}

fn name(number: usize) -> String {
    format!("user{number:07}")
}

/// Appends follows to the log in `dir`: of each pair of `users` users the first follows the second.
fn append_follows(dir: &Path, users: usize) {
    let log = LocalLog::open(dir, LOG_OPTIONS).unwrap();
    let time = Timestamp::since_epoch(Clock::system().since_epoch().unwrap()).unwrap();
    let follow = |pair: usize| {
        let (follower, followee) = (user(&name(2 * pair)), user(&name(2 * pair + 1)));
        Event::new(time, Change::Follow { follower, followee })
    };
    log.append(log.head(), (0..users / 2).map(follow).collect()).unwrap();
}
