//! Processes that stand still: the server, and a reader.

use std::process::Command;

use rustix::process::Signal;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::model::Model;
use crate::reader::{Author, Reader};
use crate::server::{PROGRAM, Setup, check_data};

pub(crate) const SERVER: Case = Case {
    name: "stopped server",
    how: "SIGSTOP under load until every caller's deadline of 2 s is over, then SIGCONT, or SIGKILL and a start",
    holds: "calls end by their deadlines and are made again; the stream goes on or resumes",
    short: 3,
    long: 6,
    run: |times| Ok::<_, Missing>(block_on(stop_server(times))),
};

pub(crate) const READER: Case = Case {
    name: "stopped reader",
    how: "SIGSTOP of a client with an open stream while its author publishes, then SIGCONT",
    holds: "calls of others are answered meanwhile, and the reader gets all posts, each once",
    short: 2,
    long: 4,
    run: |times| Ok::<_, Missing>(block_on(stop_reader(times))),
};

const CHANGES_MAX: u64 = 300;
/// Posts while a reader stands still. More than its stream holds, so that it is refilled from the log.
const POSTS: usize = 1_200;
/// The length of their texts.
const POST_BYTES: usize = 280;

async fn stop_server(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path());
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for number in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        server.signal(Signal::STOP);
        let errors;
        (model, errors) = writing.lost().await;
        assert!(!errors.is_empty() && errors.iter().all(|it| it.is_transient()), "{errors:?}");
        if number % 3 == 2 {
            server.kill();
            server = setup.start();
        } else {
            server.signal(Signal::CONT);
        }
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}

async fn stop_reader(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Setup::new(folder.path()).start();
    let mut model = Model::new(server.address).await;
    let mut author = Author::new(server.address).await;
    let prints = folder.path().join("prints");
    let reader = Reader::start(Command::new(PROGRAM), server.address, &prints, "1").await;
    for _ in 0..times {
        reader.signal(Signal::STOP);
        for _ in 0..POSTS {
            author.publish(POST_BYTES).await;
        }
        model = model.grow(server.address, CHANGES_MAX).await;
        model.check(server.address).await;
        reader.signal(Signal::CONT);
        reader.has_all_of(&author).await;
    }
    server.stop().await;
    let outcome = Outcome::of(times, &model);
    Outcome {
        acknowledged: outcome.acknowledged + author.published(),
        delivered: outcome.delivered + author.published(),
        ..outcome
    }
}
