//! The lists of follows in memory: of users and revisions of every size, of popular users, and loaded
//! from the index, against a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::model::{Change, Event, Relation, RelationKind, Revision, Timestamp, UserId};
use whimbrel::state::State;
use whimbrel::storage::{Index, LoadedRows, LocalLog, Log};

use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, load_index};

/// The last of them have numbers of three bytes.
const USERS: usize = 70_000;
/// Users of most follows.
const ACTIVE: usize = 150;
/// The user with more followers than one list has.
const POPULAR: usize = 7;

/// A state, and what its follows are by definition.
struct Follows {
    state: State,
    log: Arc<dyn Log>,
    edges: BTreeMap<(usize, usize), Revision>,
}

/// Lists whose numbers and revisions grow from one byte to three, lists that are split and joined
/// again, and all of them once they are loaded from the index.
#[test]
fn lists_of_follows_are_those_of_the_changes() {
    let mut random = fastrand::Rng::with_seed(9);
    let disk = Disk::default();
    let mut follows = Follows::new(&disk);
    for _ in 0..1_500 {
        follows.change(random.usize(..ACTIVE), random.usize(..ACTIVE), random.u8(..3) > 0);
    }
    follows.check(&mut random);
    for user in 0..USERS {
        follows.apply(Change::See { user: name(user), until: Revision::ZERO });
    }
    for _ in 0..3_000 {
        let (one, other) = (random.usize(..ACTIVE), random.usize(..USERS));
        follows.change(one, other, random.u8(..3) > 0);
        follows.change(other, POPULAR, true);
    }
    assert!(follows.follower_count(POPULAR) > 2_000);
    follows.check(&mut random);

    let loaded = follows.reloaded(&disk);
    loaded.check(&mut random);
    let mut follows = loaded;
    for follower in 0..USERS {
        if random.u8(..50) > 0 {
            follows.change(follower, POPULAR, false);
        }
    }
    follows.check(&mut random);
    for _ in 0..1_500 {
        follows.change(random.usize(..ACTIVE), random.usize(..ACTIVE), random.bool());
    }
    follows.check(&mut random);
    follows.reloaded(&disk).check(&mut random);
}

/// The rows of a start come in pieces of limited size, in order, and none is missing.
#[test]
fn a_start_reads_the_index_in_pieces() {
    const PIECE_ROWS: usize = 4_096;
    let disk = Disk::default();
    let mut follows = Follows::new(&disk);
    for user in 0..3 * PIECE_ROWS {
        follows.change(user, (user + 1) % ACTIVE, true);
        follows.change(user, (user + 2) % ACTIVE, true);
    }
    follows.write();
    let opened = open(&disk, &*follows.log);
    let (_, pieces) = load_index(opened, &*follows.log);
    let (mut users, mut edges) = (0, Vec::new());
    for piece in pieces {
        match piece {
            LoadedRows::Users(names) => {
                assert!(edges.is_empty() && names.len() <= PIECE_ROWS);
                users += names.len();
            }
            LoadedRows::Edges(piece) => {
                // One more for the last follower's second edge.
                assert!(piece.len() <= PIECE_ROWS + 1);
                edges.extend(piece.iter().map(|edge| (edge.follower, edge.followee)));
            }
            _ => {}
        }
    }
    assert_eq!(users, 3 * PIECE_ROWS);
    assert_eq!(edges.len(), follows.edges.len());
    assert!(edges.is_sorted());
}

impl Follows {
    fn new(disk: &Disk) -> Self {
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
        let state = State::load(Arc::clone(&log), open(disk, &*log), &Limits::default()).unwrap();
        Self { state, log, edges: BTreeMap::new() }
    }

    /// A follow that is not set, or an unfollow of one that is; else nothing.
    fn change(&mut self, one: usize, other: usize, follows: bool) {
        if one == other || self.edges.contains_key(&(one, other)) == follows {
            return;
        }
        let (follower, followee) = (name(one), name(other));
        if follows {
            self.apply(Change::Follow { follower, followee });
            self.edges.insert((one, other), self.log.head());
        } else {
            let since = self.edges.remove(&(one, other));
            self.apply(Change::Unfollow { follower, followee, since });
        }
    }

    fn apply(&self, change: Change) {
        let event = Event::new(Timestamp::default(), change);
        self.log.append(self.log.head(), vec![event.clone()]).unwrap();
        self.state.apply(self.log.head(), &event).unwrap();
    }

    fn follower_count(&self, user: usize) -> usize {
        self.edges.keys().filter(|&&(_, followee)| followee == user).count()
    }

    /// Writes the index up to the end of the log.
    fn write(&self) {
        let index = self.state.index().unwrap();
        let mut writing = self.state.write_to(index).unwrap();
        for entry in self.log.read(index.complete_until(), usize::MAX).unwrap() {
            writing.apply(entry.revision, &entry.event).unwrap();
        }
        let chain = self.log.chain(self.log.head()).unwrap().unwrap();
        index.write(&writing.into_rows(), self.log.head(), chain).unwrap();
    }

    /// The same after a start.
    fn reloaded(self, disk: &Disk) -> Self {
        self.write();
        let Self { state, log, edges } = self;
        drop(state);
        let state = State::load(Arc::clone(&log), open(disk, &*log), &Limits::default()).unwrap();
        assert_eq!(state.applied(), log.head());
        Self { state, log, edges }
    }

    fn check(&self, random: &mut fastrand::Rng) {
        let mut of_all: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (&(one, other), &since) in &self.edges {
            let edge = Relation::Follow(name(one), name(other));
            assert_eq!(self.state.since(&edge), Some(since), "{edge:?}");
            of_all.entry(one).or_default().push(other);
        }
        for (&follower, followees) in &of_all {
            let listed = self.state.followees(&name(follower));
            let expected: Vec<_> = followees.iter().copied().map(name).collect();
            assert_eq!(sorted(listed), sorted(expected));
            assert_eq!(self.state.count(RelationKind::Follow, &name(follower)), followees.len());
        }
        for _ in 0..1_000 {
            let pair = (random.usize(..ACTIVE), random.usize(..USERS));
            let edge = Relation::Follow(name(pair.0), name(pair.1));
            assert_eq!(self.state.since(&edge), self.edges.get(&pair).copied(), "{edge:?}");
        }
        for followee in [POPULAR, random.usize(..ACTIVE), random.usize(..USERS)] {
            assert_eq!(self.state.follower_count(&name(followee)), self.follower_count(followee));
            let max = random.usize(1..700);
            let (mut listed, mut after): (Vec<UserId>, Option<UserId>) = (Vec::new(), None);
            loop {
                let page = self.state.followers(&name(followee), after.as_ref(), max);
                assert!(page.len() <= max);
                after = page.last().cloned();
                listed.extend(page);
                if after.is_none() {
                    break;
                }
            }
            let expected = self.edges.keys().filter(|edge| edge.1 == followee);
            let expected: Vec<_> = expected.map(|&(follower, _)| name(follower)).collect();
            assert_eq!(sorted(listed), sorted(expected), "followers of {followee}");
        }
    }
}

fn sorted(mut users: Vec<UserId>) -> Vec<String> {
    users.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    users.iter().map(|user| user.as_str().to_owned()).collect()
}

fn open(disk: &Disk, log: &dyn Log) -> whimbrel::storage::OpenedIndex {
    let kept = Limits::default().request_id_retention;
    Index::with_files(disk, "index", log, INDEX_OPTIONS, kept).unwrap()
}

fn name(user: usize) -> UserId {
    UserId::parse(&format!("user{user}")).unwrap()
}
