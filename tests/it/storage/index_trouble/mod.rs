//! Trouble with the index: the server starts, serves and continues, and an intact index is never
//! thrown away.

mod at_start;
pub(crate) mod while_serving;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log, OpenedIndex};

use crate::harness::{INDEX_OPTIONS, LOG_OPTIONS};

const KEPT: Duration = Duration::from_secs(60 * 60);

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

/// A folder with a log of forty posts and a complete index.
fn folder_with_index() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(folder.path(), LOG_OPTIONS).unwrap());
    append(&*log, 40);
    let state = State::load(Arc::clone(&log), open_index(folder.path(), &*log), &limits()).unwrap();
    replay(&state, &*log);
    write_index(&state, &*log, log.head());
    folder
}

/// Appends posts of two users in turns.
fn append(log: &dyn Log, posts: u64) {
    for _ in 0..posts {
        let number = log.head().get();
        let text = PostText::parse(&format!("post {number}")).unwrap();
        let author = user(usize::try_from(number % 2).unwrap());
        let content = Content::from_text(text);
        let change = Change::Publish { author, content, request_id: None };
        let event = Event::new(Timestamp::from_nanos(number), change);
        log.append(log.head(), vec![event]).unwrap();
    }
}

fn replay(state: &State, log: &dyn Log) {
    for entry in log.read(state.applied(), usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
}

/// Writes the index of `state` up to `until`, as the indexer does.
fn write_index(state: &State, log: &dyn Log, until: Revision) {
    let index = state.index().unwrap();
    let after = index.complete_until();
    let count = usize::try_from(until.get() - after.get()).unwrap();
    let entries = log.read(after, count).unwrap();
    let mut writing = state.write_to(index).unwrap();
    entries.iter().for_each(|entry| writing.apply(entry.revision, &entry.event).unwrap());
    let rows = writing.into_rows();
    index.write(&rows, until, log.chain(until).unwrap().unwrap()).unwrap();
    state.indexed(&rows, until).unwrap();
}

fn open_index(dir: &Path, log: &dyn Log) -> OpenedIndex {
    Index::open(dir, log, INDEX_OPTIONS, KEPT).unwrap()
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
