//! The log in PostgreSQL: it passes the conformance suite of all logs, and what only a log that others append to can
//! get wrong.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use whimbrel::config::Store;
use whimbrel::model::{Change, Content, Event, NodeKey, Revision, Timestamp};
use whimbrel::storage::conformance::{self, LogUnderTest};
use whimbrel::storage::{
    EraseOutcome, Erasure, Error, LocalLog, Log, LogEntry, LogOptions, NodeRecord, PostgresLog,
    PostgresRoster, Roster, Tail,
};

use crate::harness::core::{post, user};
use crate::harness::postgres::Postgres;
use crate::harness::{LOG_OPTIONS, PATIENCE};

struct Node {
    address: String,
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Node {
    fn new(address: &str, name: &'static str) -> Self {
        Self { address: address.to_owned(), folder: tempfile::tempdir().unwrap(), name }
    }

    fn log(&self) -> Result<PostgresLog, Error> {
        let options = Postgres::options(&self.address);
        PostgresLog::open(self.folder.path(), LOG_OPTIONS, options)
    }
}

impl LogUnderTest for Node {
    fn open(&self) -> Arc<dyn Log> {
        Arc::new(self.log().unwrap())
    }
}

/// The suite that every implementation of `Log` passes.
#[test]
fn the_log_in_postgresql_conforms() {
    let Some(postgres) = Postgres::shared() else { return };
    conformance::check(|| Node::new(&postgres.new_log(), "one"));
}

/// A post whose text is its own.
fn published(text: &str) -> Event {
    let (author, content) = (user("alice"), Content::from_text(post(text)));
    Event::new(Timestamp::from_nanos(1), Change::Publish { author, content, request_id: None })
}

fn all(log: &dyn Log) -> Vec<LogEntry> {
    log.read(Revision::ZERO, usize::MAX).unwrap()
}

/// Waits until the copy of `log` has `revision`.
fn follows_to(log: &Arc<dyn Log>, revision: Revision) {
    let mut tail = Tail::new(Arc::clone(log), Revision::ZERO, 64);
    while log.head() < revision {
        tail.next_batch().unwrap().expect("the log is open");
    }
}

/// What one node appends, another one has, with the same chain, epochs and posts that were erased.
#[test]
fn every_node_has_the_same_log() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let (one, other) = (Node::new(&address, "one"), Node::new(&address, "other"));
    let (one, other) = (one.open(), other.open());
    assert_eq!(one.id(), other.id());
    for number in 0..20 {
        one.append(one.head(), vec![published(&format!("{number} a")), published("b")]).unwrap();
    }
    follows_to(&other, one.head());
    other.append(other.head(), vec![published("of the other")]).unwrap();
    follows_to(&one, other.head());
    let erasure = Erasure { posts: vec![Revision::new(3)], until: Revision::new(40) };
    let outcome = one.erase(&erasure, &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");

    // A new node gets only what is left of it.
    let late = Node::new(&address, "late");
    let late_log = late.open();
    assert_eq!(all(&*late_log), all(&*one));
    for revision in (0..=41).map(Revision::new) {
        let chain = one.chain(revision).unwrap();
        assert_eq!(other.chain(revision).unwrap(), chain, "at {revision}");
        assert_eq!(late_log.chain(revision).unwrap(), chain, "at {revision}");
        let epoch = one.epochs().at(revision);
        assert_eq!(other.epochs().at(revision), epoch, "at {revision}");
        assert_eq!(late_log.epochs().at(revision), epoch, "at {revision}");
    }
    assert_ne!(one.epochs().at(Revision::new(40)), one.epochs().at(Revision::new(41)));
    drop((late_log, other));
    assert_eq!(all(&*late.open()), all(&*one), "and after an opening");
}

/// Of two that append after the same revision one gets in, and the other one changes nothing.
#[test]
fn two_that_append_never_fork_the_log() {
    const APPENDS: usize = 60;
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let nodes = [Node::new(&address, "one"), Node::new(&address, "other")];
    let logs = nodes.each_ref().map(Node::open);
    let acknowledged: Vec<HashSet<String>> = thread::scope(|scope| {
        let writers: Vec<_> = logs
            .iter()
            .zip(&nodes)
            .map(|(log, node)| {
                scope.spawn(move || {
                    let mut acknowledged = HashSet::new();
                    for number in 0..APPENDS {
                        let text = format!("{number} of {}", node.name);
                        loop {
                            match log.append(log.head(), vec![published(&text)]) {
                                Ok(()) => break,
                                Err(Error::HeadMoved { .. }) => thread::yield_now(),
                                Err(error) => panic!("{error}"),
                            }
                        }
                        acknowledged.insert(text);
                    }
                    acknowledged
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let until = Revision::new(2 * APPENDS as u64);
    logs.iter().for_each(|log| follows_to(log, until));
    assert_eq!(all(&*logs[0]), all(&*logs[1]));
    let texts: Vec<_> = all(&*logs[0]).iter().map(|entry| text(&entry.event)).collect();
    assert_eq!(texts.len(), 2 * APPENDS, "none is there twice, and none that was refused");
    assert!(acknowledged.iter().flatten().all(|text| texts.contains(text)));
}

fn text(event: &Event) -> String {
    match &event.change {
        Change::Publish { content, .. } => content.text.as_str().to_owned(),
        other => panic!("no post: {other:?}"),
    }
}

/// Connections are cut again and again, before and after commits: what was acknowledged is there once, and so is what
/// was said to be refused never.
#[test]
fn lost_connections_lose_nothing_and_repeat_nothing() {
    const APPENDS: usize = 300;
    const CUTS: usize = 30;
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let node = Node::new(&address, "one");
    let (log, follower) = (node.open(), Node::new(&address, "other"));
    let follower_log = follower.open();
    let (done, cuts) = (AtomicBool::new(false), AtomicUsize::new(0));
    let appended = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                cuts.fetch_add(postgres.cut_connections(&address), Ordering::AcqRel);
                thread::sleep(Duration::from_millis(37));
            }
        });
        let goes_on = |&number: &usize| number < APPENDS || cuts.load(Ordering::Acquire) < CUTS;
        let append = |number: usize| log.append(log.head(), vec![published(&number.to_string())]);
        let numbers = (0..).take_while(goes_on);
        let appended = numbers.map(|number| append(number).map(|()| number)).collect();
        done.store(true, Ordering::Release);
        appended
    });
    let appended: Result<Vec<_>, _> = appended;
    follows_to(&follower_log, log.head());
    let texts: Vec<_> = all(&*follower_log).iter().map(|entry| text(&entry.event)).collect();
    let expected: Vec<_> = appended.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

/// Before a node says that a change was made before, or refuses one, it knows all that any node had acknowledged.
#[test]
fn a_decision_without_an_event_knows_all_that_was_acknowledged() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let (here, there) = (Node::new(&address, "here"), Node::new(&address, "there"));
    let (here, there) = (here.log().unwrap(), there.log().unwrap());
    for number in 0..20 {
        let before = here.head();
        here.append(before, vec![published(&format!("{number}"))]).unwrap();
        let moved = there.confirm(before).unwrap_err();
        assert!(matches!(moved, Error::HeadMoved { head } if head == here.head()), "{moved}");
        assert_eq!(there.head(), here.head(), "whoever decides again has the event");
        there.confirm(there.head()).unwrap();
    }
}

/// The copy of a log that went on without it, as after a fail-over that lost its end, is refused and says where.
#[test]
fn a_copy_of_another_history_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let (ahead, other) = (Node::new(&address, "ahead"), Node::new(&address, "other"));
    let log = ahead.log().unwrap();
    for number in 0..5 {
        log.append(Revision::new(number), vec![published("a")]).unwrap();
    }
    drop(log);
    postgres.forget_after(&address, 3);
    let refused = ahead.log().unwrap_err();
    let expected =
        matches!(refused, Error::Forked { after, head } if (after.get(), head.get()) == (3, 5));
    assert!(expected, "{refused}");
    let log = other.log().unwrap();
    for number in 3..6 {
        log.append(Revision::new(number), vec![published("b")]).unwrap();
    }
    let refused = ahead.log().unwrap_err();
    assert!(matches!(refused, Error::Forked { .. }), "{refused}");
}

/// A running node stops when PostgreSQL goes on from an earlier state, as after a fail-over that lost its end: also one that
/// only reads, and one that appends first.
#[test]
fn a_running_node_stops_at_another_history() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let nodes = ["reads", "appends", "new"].map(|name| Node::new(&address, name));
    let (reads, appends) = (nodes[0].open(), nodes[1].log().unwrap());
    for number in 0..5 {
        appends.append(Revision::new(number), vec![published("a")]).unwrap();
    }
    follows_to(&reads, Revision::new(5));
    postgres.forget_after(&address, 3);
    let refused = appends.append(Revision::new(5), vec![published("b")]).unwrap_err();
    assert!(matches!(refused, Error::Forked { .. }), "{refused}");

    let new = nodes[2].log().unwrap();
    for number in 3..7 {
        new.append(Revision::new(number), vec![published("c")]).unwrap();
    }
    let give_up_at = Instant::now() + PATIENCE;
    let failed = loop {
        match reads.check() {
            Err(failed) => break failed,
            Ok(()) => assert!(Instant::now() < give_up_at, "it goes on"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert!(failed.to_string().contains("does not follow"), "{failed}");
    let left: Vec<_> = all(&*reads).iter().map(|entry| text(&entry.event)).collect();
    assert_eq!(left, ["a"; 5], "nothing of the other history is shown");
}

/// A node that follows stops at a row that was changed behind its back, and takes nothing of it.
#[test]
fn a_changed_row_stops_who_reads_it() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let (one, other) = (Node::new(&address, "one"), Node::new(&address, "other"));
    let log = one.log().unwrap();
    for text in ["low tide", "high tide", "low tide"] {
        log.append(log.head(), vec![published("a"), published(text)]).unwrap();
    }
    postgres.change_text(&address, "high tide", "High tide");
    let refused = other.log().unwrap_err();
    assert!(refused.to_string().contains("revision 3 on does not follow"), "{refused}");
}

/// A folder with a copy is opened as nothing else, and one with a log of its own, or of another store, not as a copy.
#[test]
fn a_copy_is_used_as_one_only() {
    let Some(postgres) = Postgres::shared() else { return };
    let (address, another) = (postgres.new_log(), postgres.new_log());
    let node = Node::new(&address, "one");
    drop(node.log().unwrap());
    let refused = LocalLog::open(node.folder.path(), LOG_OPTIONS).unwrap_err();
    assert!(matches!(refused, Error::IsACopy { .. }), "{refused}");
    let moved = Node { address: another.clone(), ..node };
    let refused = moved.log().unwrap_err();
    assert!(matches!(refused, Error::OfAnotherStore { .. }), "{refused}");

    let own = Node::new(&another, "one");
    drop(LocalLog::open(own.folder.path(), LOG_OPTIONS).unwrap());
    let refused = own.log().unwrap_err();
    assert!(matches!(refused, Error::IsNoCopy { .. }), "{refused}");
}

/// A node without room for its copy sends nothing to PostgreSQL: what is refused is not in the log.
#[test]
fn without_room_for_the_copy_nothing_is_appended() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let (node, other) = (Node::new(&address, "one"), Node::new(&address, "other"));
    drop(node.log().unwrap());
    let full = LogOptions { disk_free_bytes_min: u64::MAX, ..LOG_OPTIONS };
    let log = PostgresLog::open(node.folder.path(), full, Postgres::options(&address)).unwrap();
    let refused = log.append(Revision::ZERO, vec![published("a")]).unwrap_err();
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    // What others append waits for room, and the node goes on.
    let other_log = other.log().unwrap();
    assert_eq!(other_log.head(), Revision::ZERO, "PostgreSQL has it");
    other_log.append(Revision::ZERO, vec![published("b")]).unwrap();
    log.check().unwrap();
    drop(log);
    assert_eq!(all(&*node.open()), all(&other_log));
}

/// Settings under which acknowledged changes could be lost are refused, with the lines that mend them; and so is a server
/// that is not there.
#[test]
fn an_unsafe_postgresql_is_refused() {
    let Some(postgres) = Postgres::start(&["fsync=off", "full_page_writes=off"]) else { return };
    let address = postgres.new_log();
    let folder = tempfile::tempdir().unwrap();
    let checked = Store { is_replicated_elsewhere: false, ..Postgres::store(&address) };
    let refused = PostgresLog::open(folder.path(), LOG_OPTIONS, checked.try_into().unwrap())
        .unwrap_err()
        .to_string();
    for line in [
        "ALTER SYSTEM SET fsync = on",
        "ALTER SYSTEM SET full_page_writes = on",
        "ALTER SYSTEM SET synchronous_standby_names",
        "--store-replicated-elsewhere",
    ] {
        assert!(refused.contains(line), "{refused}");
    }
    drop(postgres);
    let node = Node::new(&address, "one");
    let refused = node.log().unwrap_err();
    assert!(matches!(refused, Error::Store { .. }), "{refused}");
}

/// A host that is not this machine is spoken to by TLS, unless its address asks for none.
#[test]
fn only_an_address_that_asks_for_it_is_without_tls() {
    // It accepts, and shows what comes first: TLS begins with a question, and a session without it with its length.
    let first_bytes = |mode: &str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = format!("db.example.org:{port}/x?hostaddr=127.0.0.1{mode}");
        let address = format!("postgres://whimbrel@{host}");
        let opened = thread::spawn(move || Node::new(&address, "one").log().map(drop));
        let (mut socket, _) = listener.accept().unwrap();
        let mut bytes = [0; 8];
        std::io::Read::read_exact(&mut socket, &mut bytes).unwrap();
        drop((socket, listener));
        opened.join().unwrap().unwrap_err();
        bytes
    };
    // SSLRequest, and StartupMessage of version 3.0 (PostgreSQL's documentation, "Message Formats").
    assert_eq!(first_bytes("")[4..], 80_877_103_u32.to_be_bytes());
    assert_eq!(first_bytes("&sslmode=disable")[4..], 196_608_u32.to_be_bytes());
    assert_eq!(first_bytes("&sslmode=prefer")[4..], 80_877_103_u32.to_be_bytes());
}

/// The tables of version 1 are those of this version after the first node has opened them, with all events.
#[test]
fn the_tables_of_an_earlier_version_are_migrated() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let before = Node::new(&address, "before");
    before.log().unwrap().append(Revision::ZERO, vec![published("one")]).unwrap();
    postgres.go_back_to_version_1(&address);
    let after = Node::new(&address, "after");
    for _ in 0..2 {
        assert_eq!(after.log().unwrap().head(), Revision::new(1));
        let mut roster = PostgresRoster::new(Postgres::options(&address)).unwrap();
        let numbers = [roster.join().unwrap(), roster.join().unwrap()];
        assert!(numbers[0] < numbers[1], "{numbers:?}");
    }
}

/// A change of the API keys that is made of others than those that are there is refused.
#[test]
fn api_keys_are_changed_one_after_another() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    drop(Node::new(&address, "one").log().unwrap());
    let mut rosters = [(); 2].map(|()| PostgresRoster::new(Postgres::options(&address)).unwrap());
    assert_eq!(rosters[0].keys(None).unwrap(), None);
    assert!(!rosters[0].replace_keys(Some(1), b"of none").unwrap());
    assert!(rosters[0].replace_keys(None, b"first").unwrap());
    assert!(!rosters[1].replace_keys(None, b"as if there were none").unwrap());
    let first = rosters[1].keys(None).unwrap().unwrap();
    assert_eq!(first.table, b"first");
    assert!(rosters[1].replace_keys(Some(first.version), b"second").unwrap());
    assert!(!rosters[0].replace_keys(Some(first.version), b"of the first").unwrap());
    let second = rosters[0].keys(Some(first.version)).unwrap().unwrap();
    assert_eq!(second.table, b"second");
    assert_eq!(rosters[0].keys(Some(second.version)).unwrap(), None);
}

/// A node reads what others wrote last, loses its number if another one has it, and is gone once it has left.
#[test]
fn nodes_find_each_other() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    drop(Node::new(&address, "one").log().unwrap());
    let mut rosters = [(); 2].map(|()| PostgresRoster::new(Postgres::options(&address)).unwrap());
    let record = |number: u64, key: u8| NodeRecord {
        number,
        address: Some(format!("http://127.0.0.1:{key}")),
        public_address: None,
        key: NodeKey::new([key; 32]),
        version: "1".to_owned(),
        beats: 1,
        applied: Revision::new(key.into()),
    };
    let one = record(rosters[0].join().unwrap(), 1);
    let two = record(rosters[1].join().unwrap(), 2);
    assert!(rosters[0].beat(&one).unwrap().unwrap().is_empty());
    let found = rosters[1].beat(&two).unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", [&one]));
    assert!(found[0].key.is(&one.key.token()) && !found[0].key.is(&two.key.token()));
    let later = NodeRecord { beats: 2, applied: Revision::new(9), ..two.clone() };
    rosters[1].beat(&later).unwrap().unwrap();
    let found = rosters[0].beat(&one).unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", [&later]));

    // One that starts again takes the place of the one before.
    let again = NodeRecord { number: rosters[1].join().unwrap(), ..record(0, 2) };
    rosters[1].beat(&again).unwrap().unwrap();
    let found = rosters[0].beat(&one).unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", [&again]));
    let two = again;

    let taken = NodeRecord { number: one.number, ..record(0, 3) };
    assert!(rosters[1].beat(&taken).unwrap().is_none(), "the number is another node's");
    postgres.cut_connections(&address);
    rosters[1].leave(two.number).unwrap_or_else(|_| rosters[1].leave(two.number).unwrap());
    let beat = rosters[0].beat(&one).or_else(|_| rosters[0].beat(&one));
    assert!(beat.unwrap().unwrap().is_empty());
}
