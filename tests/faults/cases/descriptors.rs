//! A process that may open no more files.

use std::fs;
use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::model::Model;
use crate::server::{Server, Setup, check_data};

pub(crate) const EXHAUSTED: Case = Case {
    name: "descriptor exhaustion",
    how: "under load, the limit of open files is lowered to what is open and 3 more, 50 connections come, and \
          later they go and the limit is raised again",
    holds: "the server goes on; who was connected is answered throughout, and new connections are accepted \
            again",
    short: 3,
    long: 8,
    run: |times| Ok::<_, Missing>(block_on(exhaust(times))),
};

const CONNECTIONS: usize = 50;
/// Fewer than the server spares for its own files.
const FILES_LEFT: u64 = 3;
const CHANGES_MAX: u64 = 300;

async fn exhaust(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path());
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for _ in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        limit(&server, server.files().len() as u64 + FILES_LEFT);
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            // The kernel takes them, also if the server cannot.
            connections.push(TcpStream::connect(server.address).await.expect("a backlog"));
        }
        writing.acknowledged(CHANGES_MAX + 200).await;
        // One accept may have been under way.
        let waiting = waiting(server.address);
        assert!(waiting >= CONNECTIONS - 1, "of {CONNECTIONS} connections {waiting} wait");
        let errors;
        (model, errors) = writing.end().await;
        assert!(errors.is_empty(), "{errors:?}");
        drop(connections);
        limit(&server, getrlimit(Resource::Nofile).current.unwrap_or(1 << 16));
        model.check(server.address).await;
        assert!(server.runs(), "it ended: {}", server.log());
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}

/// How many connections wait for the server at `address` to accept them, as the kernel counts.
fn waiting(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut listening = sockets.lines().skip(1).map(words);
    // Local address, remote address, state, and of a socket that listens its backlog.
    let listening = listening.find(|it| it[1].ends_with(&port) && it[3] == "0A");
    let queues = listening.expect("the server listens").swap_remove(4);
    usize::from_str_radix(queues.rsplit(':').next().expect("two numbers"), 16).expect("a number")
}

/// The hard limit stays, so that it can be raised again without a right.
fn limit(server: &Server, files: u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(files), maximum: hard };
    prlimit(Some(server.pid()), Resource::Nofile, limit).expect("it is our child");
}
