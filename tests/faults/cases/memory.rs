//! Limits of memory: as much as `docs/operations.md` says that a server needs, and too little.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;
use tokio::task::JoinSet;
use whimbrel::api::v1::{FollowRequest, WatchFeedRequest};
use whimbrel::client::Client;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::machine::MemoryLimit;
use crate::model::Model;
use crate::patience::within;
use crate::server::{Setup, check_data};

pub(crate) const ENOUGH: Case = Case {
    name: "a limit of memory as documented",
    how: "a cgroup with the memory that the formula of docs/operations.md gives for the load, with its caches and \
          200 watchers on connections of their own",
    holds: "the server is not killed, and its memory was below that at all times",
    short: 1,
    long: 4,
    run: |times| {
        let limit = MemoryLimit::new("faults-enough", ENOUGH_BYTES)?;
        Ok(block_on(stay_within(&limit, times)))
    },
};

pub(crate) const TOO_LITTLE: Case = Case {
    name: "memory that runs out",
    how: "a cgroup of 28 MiB, and clients that open streams under load until the kernel kills the server",
    holds: "the start without the limit succeeds, and the log has no damage",
    short: 1,
    long: 3,
    run: |times| block_on(run_out(times)),
};

/// 40 MiB, 86 MiB of caches, a small cache of posts, the watchers, and as much as a MiB of users, follows
/// and request ids: a few thousand.
const ENOUGH_BYTES: u64 =
    ((40 + 86 + POST_CACHE_MIB + 1) << 20) + WATCHERS as u64 * (3_900 + 24_500);
const WATCHERS: usize = 200;
const POST_CACHE_MIB: u64 = 16;
const LITTLE_BYTES: u64 = 28 << 20;
const CHANGES: u64 = 5_000;
const CHANGES_MAX: u64 = 300;
/// Streams of a user, and then those of the next.
const STREAMS_OF_A_USER: usize = 16;
/// Clients who open streams at once.
const CLIENTS: usize = 8;

async fn stay_within(limit: &MemoryLimit, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path()).after(&limit.joining());
    let setup = setup.variable("WHIMBREL_POST_CACHE", &POST_CACHE_MIB.to_string());
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    let mut watching = JoinSet::new();
    for number in 0..WATCHERS {
        let client = Client::connect(&server.address.to_string()).await.expect("it listens");
        let follow = FollowRequest {
            user_id: format!("watcher{number}"),
            followee_id: model.writers[number % model.writers.len()].name.clone(),
        };
        client.follow(follow.clone()).await.expect("it is answered");
        let watch = WatchFeedRequest { user_id: follow.user_id, ..Default::default() };
        let mut stream = client.watch_feed(watch).await.expect("it is answered");
        watching.spawn(async move { while let Ok(Some(_)) = stream.next().await {} });
    }
    for _ in 0..times {
        model = model.grow(server.address, CHANGES).await;
        model.check(server.address).await;
    }
    assert_eq!(limit.kills(), 0, "{}", server.log());
    assert!(server.runs(), "it ended: {}", server.log());
    assert!(watching.try_join_next().is_none(), "a stream ended");
    let most = server.memory_most();
    assert!(most <= ENOUGH_BYTES, "its memory was {most} bytes, and {ENOUGH_BYTES} are documented");
    server.stop().await;
    check_data(setup.data());
    let notes = format!("At most {} MiB of {} MiB", most >> 20, ENOUGH_BYTES >> 20);
    Outcome::of(times, &model).noting(notes)
}

/// Opens streams on more and more connections, until the server is gone.
async fn open_streams(address: SocketAddr, number: usize) {
    let mut open = Vec::new();
    for user in 0.. {
        let Ok(client) = Client::connect(&address.to_string()).await else { return };
        for _ in 0..STREAMS_OF_A_USER {
            let user_id = format!("hungry{number}-{user}");
            let request = WatchFeedRequest { user_id, ..Default::default() };
            match client.watch_feed(request).await {
                Ok(stream) => open.push(stream),
                Err(_) => return,
            }
        }
    }
}

async fn run_out(times: usize) -> Result<Outcome, Missing> {
    let folder = tempfile::tempdir().expect("a folder");
    let free = Setup::new(folder.path());
    let mut server = free.start();
    let mut model = Model::new(server.address).await;
    for _ in 0..times {
        server.kill();
        let limit = MemoryLimit::new("faults-little", LITTLE_BYTES)?;
        server = free.clone().after(&limit.joining()).start();
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        let mut opening = JoinSet::new();
        for number in 0..CLIENTS {
            opening.spawn(open_streams(server.address, number));
        }
        within("the end of a server without memory", opening.join_all()).await;
        (model, _) = writing.lost().await;
        let ended = server.end().await;
        let killed = Some(Signal::KILL.as_raw());
        assert_eq!(ended.status.signal(), killed, "the kernel kills it: {ended:?}");
        assert!(limit.kills() > 0, "the kernel killed nobody");
        server = free.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(free.data());
    Ok(Outcome::of(times, &model))
}
