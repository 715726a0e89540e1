//! Kills that are aimed: the process is killed at one of the calls that start it, that rewrite a segment of
//! its log, or that write its index. Those are too short for a kill at any moment to meet them often.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::case::{Case, Outcome, block_on};
use crate::model::Model;
use crate::server::{Server, Setup, check_data};
use crate::shim::Shim;

pub(crate) const KILLS: Case = Case {
    name: "kill at a call",
    how: "SIGKILL at any one of the calls that write, flush, rename or remove files, half of a write done: in turn \
          of a start, of the preparing and rewriting of segments under load, and of the write of the index at \
          a stop, by a library that is loaded before the C library",
    holds: "the start after it succeeds, and the log has no damage",
    short: 3,
    long: 90,
    run: |times| {
        let shim = Shim::new()?;
        Ok(block_on(kill(&shim, times)))
    },
};

/// Kills of one data folder; then a new one is begun, since all of it is compared after each.
const KILLS_OF_A_FOLDER: usize = 30;
const CHANGES_MAX: u64 = 300;
/// Calls on segments that are prepared and rewritten: those of some three of them.
const SEGMENT_CALLS_MAX: u64 = 12;
/// What is in the paths of the files of each.
const ANY_FILE: &str = "/data";
const NEW_SEGMENT: &str = ".seg.new";
const INDEX: &str = "index.redb";

async fn kill(shim: &Shim, times: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for first in (0..times).step_by(KILLS_OF_A_FOLDER) {
        let kills = KILLS_OF_A_FOLDER.min(times - first);
        outcome.add(&kill_folder(shim, kills).await);
    }
    let third = |more: usize| (times + 2 - more) / 3;
    let [starts, rewrites, stops] = [third(0), third(1), third(2)];
    let notes = format!("{starts} of a start, {rewrites} of segments, {stops} of the index");
    outcome.noting(notes)
}

async fn kill_folder(shim: &Shim, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path()).variable("WHIMBREL_COMPACT_EVERY", "1");
    let setup = shim.in_servers(setup);
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for number in 0..times {
        match number % 3 {
            0 => {
                model = model.grow(server.address, fastrand::u64(1..=CHANGES_MAX)).await;
                server.kill();
                killed_in_a_start(shim, &setup);
            }
            1 => {
                let writing = model.write(server.address).await;
                shim.kill_at(fastrand::u64(1..=SEGMENT_CALLS_MAX), NEW_SEGMENT);
                (model, _) = writing.lost().await;
                is_killed(server.end().await.status);
            }
            _ => {
                let after;
                (model, after) = killed_in_a_stop(shim, &setup, model, server).await;
                is_killed(after);
            }
        }
        shim.count("");
        server = setup.start();
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}

/// Starts servers until one was killed while it started.
fn killed_in_a_start(shim: &Shim, setup: &Setup) {
    shim.count(ANY_FILE);
    setup.start().kill();
    let mut calls = shim.calls();
    loop {
        assert!(calls > 0, "a start makes no call");
        let at = fastrand::u64(1..=calls);
        shim.kill_at(at, ANY_FILE);
        match setup.try_start() {
            Err(ended) => return is_killed(ended.status),
            // This start had less to do than the one before.
            Ok(server) => server.kill(),
        }
        calls = at - 1;
    }
}

/// Stops servers in order, until one was killed while it wrote its index.
async fn killed_in_a_stop(
    shim: &Shim,
    setup: &Setup,
    model: Model,
    server: Server,
) -> (Model, ExitStatus) {
    let model = model.grow(server.address, CHANGES_MAX).await;
    shim.count(INDEX);
    server.stop().await;
    let mut calls = shim.calls();
    let mut model = model;
    loop {
        assert!(calls > 0, "a stop writes no index");
        shim.count("");
        let server = setup.start();
        model.settle(server.address).await;
        model = model.grow(server.address, CHANGES_MAX).await;
        let at = fastrand::u64(1..=calls);
        shim.kill_at(at, INDEX);
        server.signal(Signal::TERM);
        let status = server.end().await.status;
        if status.code() != Some(0) {
            return (model, status);
        }
        calls = at - 1;
    }
}

fn is_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status:?}");
}
