//! The edges in the index: users who follow thousands, in many writes, against a map. Nothing is
//! damaged here.

use std::collections::BTreeMap;

use whimbrel::config::Limits;
use whimbrel::model::{Change, Event, Revision, Timestamp, UserId};
use whimbrel::storage::{Index, LoadedRows, LocalLog, Log};

use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, load_index};

const USERS: u32 = 3_000;
const FOLLOWERS: u32 = 3;
const WRITES: u64 = 120;

/// Blocks of edges grow, are split, shrink and vanish: every read and every start has the edges of the
/// last writes.
#[test]
fn edges_are_those_of_the_last_writes() {
    let mut random = fastrand::Rng::with_seed(5);
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let disk = Disk::default();
    let mut index = open(&log, &disk).0;
    let mut edges: BTreeMap<(u32, u32), Revision> = BTreeMap::new();
    let mut most = 0;
    for number in 0..WRITES {
        let user = UserId::parse(&format!("user{number}")).unwrap();
        let change = Change::See { user, until: Revision::ZERO };
        log.append(log.head(), vec![Event::new(Timestamp::from_nanos(number), change)]).unwrap();
        let mut rows = index.new_rows();
        if number == 0 {
            for user in 0..USERS {
                rows.push_user(UserId::parse(&format!("user{user}")).unwrap());
            }
        }
        // A write of one edge, or of many that lie together. In the last third all are removed.
        let count = [1, 10, 700][random.usize(..3)];
        let first = random.u32(..USERS);
        let set_of_ten = if number < WRITES * 2 / 3 { 7 } else { 0 };
        for step in 0..count {
            let followee = if step == 0 { random.u32(..USERS) } else { (first + step) % USERS };
            let pair = (random.u32(..FOLLOWERS), followee);
            let since = (random.u8(..10) < set_of_ten).then(|| log.head());
            rows.set_edge(pair.0, pair.1, since);
            match since {
                Some(since) => edges.insert(pair, since),
                None => edges.remove(&pair),
            };
        }
        most = most.max(edges.len());
        let chain = log.chain(log.head()).unwrap().unwrap();
        index.write(&rows, log.head(), chain).unwrap();

        let snapshot = index.snapshot().unwrap();
        for _ in 0..50 {
            let pair = (random.u32(..=FOLLOWERS), random.u32(..USERS));
            let edge = snapshot.edge(pair.0, pair.1).unwrap();
            assert_eq!(edge, edges.get(&pair).copied(), "{pair:?}");
        }
        drop(snapshot);
        if number % 10 == 9 {
            drop(index);
            let (opened, rows) = open(&log, &disk);
            let loaded = rows.iter().flat_map(|rows| match rows {
                LoadedRows::Edges(edges) => &edges[..],
                _ => &[],
            });
            let loaded = loaded.map(|edge| ((edge.follower, edge.followee), edge.since));
            assert!(loaded.eq(edges.iter().map(|(&pair, &since)| (pair, since))));
            index = opened;
        }
    }
    assert!(most > 2_000 && edges.len() < most / 2, "of {most} edges {} are left", edges.len());
}

fn open(log: &LocalLog, disk: &Disk) -> (Index, Vec<LoadedRows>) {
    let kept = Limits::default().request_id_retention;
    load_index(Index::with_files(disk, "index", log, INDEX_OPTIONS, kept).unwrap(), log)
}
