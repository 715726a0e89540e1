//! Kills: the process is gone from one moment to the next, under load and while it starts.

use std::time::Duration;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::model::Model;
use crate::server::{Setup, check_data};

pub(crate) const UNDER_LOAD: Case = Case {
    name: "kill under load",
    how: "SIGKILL while 8 users write, each time after another number of answers",
    holds: "each start succeeds, and the log has no damage",
    short: 8,
    long: 200,
    run: |times| run(times, 0),
};

pub(crate) const WHILE_STARTING: Case = Case {
    name: "kill while starting",
    how: "SIGKILL under load, and up to three more while the server starts again",
    holds: "the start after them succeeds",
    short: 4,
    long: 40,
    run: |times| run(times, 3),
};

pub(crate) const SECOND: Case = Case {
    name: "a second process",
    how: "another server is started on the same data folder, under load",
    holds: "it is refused with code 4 and names the first, which goes on",
    short: 2,
    long: 6,
    run: |times| Ok::<_, Missing>(block_on(start_second(times))),
};

/// Kills of one data folder; then a new one is begun, since all of it is compared after each.
const KILLS_OF_A_FOLDER: usize = 20;
/// Acknowledged changes before a kill, at most.
const CHANGES_MAX: u64 = 600;
/// A start takes some tens of milliseconds: a kill within this time meets any part of it.
const START_MS_MAX: u64 = 60;

fn run(times: usize, more: usize) -> Result<Outcome, Missing> {
    let mut outcome = Outcome::default();
    let mut while_starting = 0;
    for first in (0..times).step_by(KILLS_OF_A_FOLDER) {
        let kills = KILLS_OF_A_FOLDER.min(times - first);
        let (killed, others) = block_on(kill(kills, more));
        while_starting += others;
        outcome.add(&killed);
    }
    let notes =
        if more > 0 { format!("{while_starting} of the kills hit a start") } else { String::new() };
    Ok(outcome.noting(notes))
}

/// Kills a server so often. Gives what came of it, and how many kills hit a start.
async fn kill(times: usize, more: usize) -> (Outcome, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    // Erasing as it goes, so that kills meet rewritten segments as well.
    let setup = Setup::new(folder.path()).variable("WHIMBREL_COMPACT_EVERY", "1");
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    let mut while_starting = 0;
    for _ in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        server.kill();
        let (after, errors) = writing.lost().await;
        assert!(errors.iter().all(|error| error.is_transient()), "{errors:?}");
        model = after;
        for _ in 0..fastrand::usize(0..=more) {
            let mut starting = setup.spawn();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..START_MS_MAX))).await;
            starting.kill().expect("it is our child");
            starting.wait().expect("it is our child");
            while_starting += 1;
        }
        server = setup.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    (Outcome::of(times, &model), while_starting)
}

async fn start_second(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path());
    let server = setup.start();
    let mut model = Model::new(server.address).await;
    for _ in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        let ended = setup.try_start().expect_err("two servers have one folder");
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        let first = format!("process {}", server.pid().as_raw_nonzero());
        assert!(ended.log.contains(&first), "{first} is not in {}", ended.log);
        let errors;
        (model, errors) = writing.end().await;
        assert!(errors.is_empty(), "{errors:?}");
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}
