//! The index after power cuts, stops, restored logs and exchanged files. Never damages a file.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::engine::Engine;
use whimbrel::model::{PostText, Relation, Revision};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::State;
use whimbrel::storage::{self, Index, Log};

use super::{
    USERS, assert_same, limits, open_index, open_log, replay, request_id, user, write_index,
};
use crate::harness::{Disk, INDEX_OPTIONS, within};
use crate::storage::fragile_disk::FragileDisk;
use crate::storage::fragile_folder::FragileFolder;

/// The number of workloads, and of power cuts in each. Half are followed by a cut while recovering.
const SEEDS: u64 = 6;
const CUTS_PER_SEED: usize = 40;

/// Cuts the power at random moments of the writes of log and index, and again while the index
/// catches up after that.
#[test]
fn a_power_cut_between_the_log_and_the_index_is_harmless() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let (log, index) = new_disks();
        make_changes(&log, &index, &mut random);

        for cut in 0..CUTS_PER_SEED {
            let (log, index) = cut_both(&log, &index, &mut random);
            if cut % 2 == 0 {
                check_recovered(&log, &index);
                continue;
            }
            // The index is written while the engine runs, and once more when it stops.
            runtime().block_on(async {
                within("the engine to stop", open_engine(&log, &index).stop()).await;
            });
            let (log, index) = cut_both(&log, &index, &mut random);
            check_recovered(&log, &index);
        }
    }
}

/// After a stop in order the index is complete, so a start replays no event.
#[test]
fn after_a_stop_in_order_no_event_is_replayed() {
    let (log, index) = new_disks();
    make_changes(&log, &index, &mut fastrand::Rng::with_seed(1));
    let log = open_log(log.copy());
    let opened = open_index(&Disk::holding(index.content()), &log);
    assert_eq!(opened.complete_until(), log.head());
    assert!(log.head() > Revision::new(100));
}

/// A log that ends before its index is refused, as it lost its end or is an older copy.
#[test]
fn a_log_that_ends_before_its_index_is_refused() {
    let mut random = fastrand::Rng::with_seed(2);
    let (log, index) = new_disks();
    make_changes(&log, &index, &mut random);
    let shorter = open_log(log.copy());
    make_changes(&log, &index, &mut random);
    let index = Disk::holding(index.content());
    let kept = limits().request_id_retention;
    let error = Index::with_files(&index, "the index", &shorter, INDEX_OPTIONS, kept).unwrap_err();
    let storage::Error::EndsEarly { head, durable_until, .. } = &error else { panic!("{error}") };
    assert_eq!(*head, shorter.head());
    assert!(durable_until > head);
    assert!(error.to_string().contains("the index"), "{error}");
}

/// An index of another log or of another history of the same log is rebuilt, and so is a missing
/// one.
#[test]
fn an_index_that_does_not_fit_is_rebuilt() {
    let mut random = fastrand::Rng::with_seed(2);
    let (log, index_disk) = new_disks();
    make_changes(&log, &index_disk, &mut random);
    let backup = log.copy();
    make_changes(&log, &index_disk, &mut random);
    let index = index_disk.content();
    assert!(opened_until(&log, &index) > Revision::ZERO, "it fits its own log");

    let other = new_disks().0;
    make_changes(&other, &FragileDisk::default(), &mut random);
    assert_eq!(opened_until(&other, &index), Revision::ZERO, "of another log");
    assert_eq!(opened_until(&log, &[]), Revision::ZERO, "none");

    // The restored log grows beyond the index.
    let restored = backup;
    while open_log(restored.copy()).head() <= open_log(log.copy()).head() {
        make_changes(&restored, &FragileDisk::default(), &mut random);
    }
    assert_eq!(opened_until(&restored, &index), Revision::ZERO, "of another history");
    check_recovered(&restored, &FragileDisk::with(index));
}

/// Checks that a state opened from both disks equals a replay of the whole log.
fn check_recovered(log: &FragileFolder, index: &FragileDisk) {
    let log: Arc<dyn Log> = Arc::new(open_log(log.copy()));
    let whole = Arc::new(State::new(Arc::clone(&log), &limits()));
    replay(&whole, &*log);
    let opened = open_index(&Disk::holding(index.content()), &*log);
    let state = Arc::new(State::load(Arc::clone(&log), opened, &limits()).unwrap());
    replay(&state, &*log);
    assert_same(&state, &whole);
    // The same once the index is complete.
    write_index(&state, &*log, 0);
    assert_same(&state, &whole);
}

/// Follows, unfollows and posts by several callers at once, and a stop in order.
fn make_changes(log: &FragileFolder, index: &FragileDisk, random: &mut fastrand::Rng) {
    runtime().block_on(async {
        let engine = open_engine(log, index);
        for _ in 0..16 {
            let mut calls = JoinSet::new();
            for _ in 0..random.u64(1..=24) {
                let engine = engine.clone();
                let (one, other) = (user(random.usize(..USERS)), user(random.usize(..USERS)));
                let (kind, number) = (random.u8(..5), random.usize(..1_000));
                calls.spawn(async move {
                    // Some calls are refused, such as a follow of oneself or a reused id.
                    match kind {
                        0 | 1 => drop(engine.set(Relation::Follow(one, other), true).await),
                        2 => drop(engine.set(Relation::Follow(one, other), false).await),
                        _ => {
                            let text = PostText::parse(&format!("post {number}")).unwrap();
                            drop(engine.publish(one, text, Some(request_id(number))).await);
                        }
                    }
                });
            }
            while calls.join_next().await.is_some() {}
            // Gives the indexer time to write.
            tokio::time::sleep(Duration::from_millis(random.u64(..4))).await;
        }
        within("the engine to stop", engine.stop()).await;
    });
}

/// Copies of both disks after their power was cut at one moment.
fn cut_both(
    log: &FragileFolder,
    index: &FragileDisk,
    random: &mut fastrand::Rng,
) -> (FragileFolder, FragileDisk) {
    let moment = random.usize(..=log.machine().moments());
    let log = log.cut_at(moment, random);
    let index = FragileDisk::in_machine(log.machine(), index.cut_at(moment, random));
    (log, index)
}

/// The folder of a new log, and an empty disk for its index.
fn new_disks() -> (FragileFolder, FragileDisk) {
    let folder = FragileFolder::default();
    drop(open_log(folder.clone()));
    let log = folder.copy();
    let index = FragileDisk::in_machine(log.machine(), Vec::new());
    (log, index)
}

fn open_engine(log: &FragileFolder, index: &FragileDisk) -> Engine {
    let log = open_log(log.clone());
    let kept = limits().request_id_retention;
    let opened = Index::with_files(index, "index", &log, INDEX_OPTIONS, kept).unwrap();
    Engine::open_indexed(Arc::new(log), opened, &limits(), Clock::system(), &CriticalThreads::new())
        .unwrap()
}

fn opened_until(log: &FragileFolder, index: &[u8]) -> Revision {
    let log = open_log(log.copy());
    open_index(&Disk::holding(index.to_vec()), &log).complete_until()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
