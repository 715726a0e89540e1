//! The index is only a copy: after a crash, a restore or any history, reads return what the log
//! holds. Never tests the log itself.

mod reads;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::model::{Relation, RelationKind, RequestId, Revision, UserId};
use whimbrel::query::{
    self, Backlog, BacklogEntry, BacklogKind, FeedBacklog, HomeFeed, PagePosition, Reader,
};
use whimbrel::state::State;
use whimbrel::storage::{Folder, Index, LocalLog, Log, OpenedIndex};

use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS};

const USERS: usize = 6;
/// Nearly no indexed records stay in memory, and the index is written all the time.
fn limits() -> Limits {
    Limits {
        recent_revisions_per_author_max: 2,
        index_events_max: 7,
        index_write_delay_max: Duration::from_millis(1),
        post_cache_bytes_max: 1 << 12,
        ..Limits::default()
    }
}

/// Writes the index of `state` up to its last `lag` events, as the indexer does.
fn write_index(state: &State, log: &dyn Log, lag: usize) {
    let index = state.index().unwrap();
    let mut entries = log.read(index.complete_until(), usize::MAX).unwrap();
    entries.truncate(entries.len().saturating_sub(lag));
    let Some(last) = entries.last() else { return };
    let mut writing = state.write_to(index).unwrap();
    for entry in &entries {
        writing.apply(entry.revision, &entry.event).unwrap();
    }
    let rows = writing.into_rows();
    let chain = log.chain(last.revision).unwrap().unwrap();
    index.write(&rows, last.revision, chain).unwrap();
    state.indexed(&rows, last.revision).unwrap();
}

fn replay(state: &State, log: &dyn Log) {
    for entry in log.read(state.applied(), usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
}

/// Checks that all reads of `state` are those of `whole`, from memory and from the index.
fn assert_same(state: &Arc<State>, whole: &Arc<State>) {
    let head = whole.applied().get();
    assert_eq!(state.applied(), whole.applied());
    for name in (0..USERS).map(user) {
        let mut followees = state.followees(&name);
        let mut expected = whole.followees(&name);
        followees.sort();
        expected.sort();
        assert_eq!(followees, expected);
        assert_eq!(state.count(RelationKind::Follow, &name), expected.len());
        for other in (0..USERS).map(user) {
            assert_eq!(since(state, &name, &other), since(whole, &name, &other));
            let follows = since(state, &name, &other).is_some();
            assert_eq!(state.followers(&other, None, USERS).contains(&name), follows);
        }
        assert_eq!(state.follower_count(&name), whole.follower_count(&name));
        assert_eq!(state.followers(&name, None, USERS).len(), whole.follower_count(&name));
        for number in 0..head as usize {
            let id = request_id(number);
            assert_eq!(state.requested(&name, &id), whole.requested(&name, &id), "{id:?}");
        }
        assert_same_feed(state, whole, &name);
    }
}

fn assert_same_feed(state: &Arc<State>, whole: &Arc<State>, name: &UserId) {
    let head = whole.applied().get();
    let (reader, whole) = (reader(state), reader(whole));
    for before in [head + 1, head / 2, head / 7].map(Revision::new) {
        let query = HomeFeed {
            user: name.clone(),
            position: Some(PagePosition { before, at: Revision::new(head) }),
            items_max: 5,
            with_own: true,
            all_replies: false,
        };
        let expected = whole.ask_blocking(&query).unwrap();
        let expected = (expected.items, expected.next, expected.at);
        if let Some(page) = reader.ask_memory(&query).unwrap() {
            assert_eq!((page.items, page.next, page.at), expected);
        }
        let page = reader.ask_blocking(&query).unwrap();
        assert_eq!((page.items, page.next, page.at), expected, "{query:?}");
    }
    for kind in [BacklogKind::Events, BacklogKind::Items] {
        for after in [0, head / 5, head / 2, head.saturating_sub(3)] {
            let (after, until) = (Revision::new(after), Revision::new(head));
            let user = name.clone();
            let query =
                FeedBacklog { user, all_replies: false, after, until, kind, events_max: 25 };
            let expected = missed(&whole.ask_blocking(&query));
            if let Some(backlog) = reader.ask_memory(&query).unwrap() {
                assert_eq!(missed(&Ok(backlog)), expected);
            }
            assert_eq!(missed(&reader.ask_blocking(&query)), expected, "{query:?}");
        }
    }
}

/// The revisions of a backlog's events, whether each is from an author of the feed, and its end.
fn missed(
    backlog: &Result<Backlog<BacklogEntry>, query::Error>,
) -> (Vec<(Revision, bool)>, Revision) {
    let backlog = backlog.as_ref().unwrap();
    let events = backlog.events.iter().map(|entry| (entry.revision, entry.is_from_author));
    (events.collect(), backlog.reached)
}

fn reader(state: &Arc<State>) -> Reader {
    Reader::new(Arc::clone(state), &limits())
}

fn since(state: &State, follower: &UserId, followee: &UserId) -> Option<Revision> {
    state.since(&Relation::Follow(follower.clone(), followee.clone()))
}

fn open_log(folder: impl Folder) -> LocalLog {
    LocalLog::with_folder(folder, LOG_OPTIONS).unwrap()
}

fn open_index(disk: &Disk, log: &dyn Log) -> OpenedIndex {
    Index::with_files(disk, "index", log, INDEX_OPTIONS, limits().request_id_retention).unwrap()
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn request_id(number: usize) -> RequestId {
    RequestId::parse(&format!("r{number}")).unwrap()
}
