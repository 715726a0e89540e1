//! The first reads after a start: many at once, of authors with only their newest post in memory.

use std::sync::{Arc, Barrier, Mutex};

use whimbrel::config::Limits;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::query::{HomeFeed, Reader};
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log};

use crate::harness::{Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder};

/// Enough users for several pages of the per-user storage, so that it has to grow.
const USERS: usize = 320;
const READERS: usize = 8;
const STARTS: usize = 2_000;

/// A record that one reader loads into memory is complete for all others, in any order of events.
#[test]
fn concurrent_first_reads_succeed() {
    let (log, index) = written();
    let (begin, end) = (Barrier::new(READERS + 1), Barrier::new(READERS + 1));
    let state: Mutex<Option<Arc<State>>> = Mutex::new(None);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for reader in 0..READERS {
            let (state, begin, end) = (&state, &begin, &end);
            readers.push(scope.spawn(move || {
                let mut lost = 0;
                for _ in 0..STARTS {
                    begin.wait();
                    let state = state.lock().unwrap().clone().unwrap();
                    // A panic would leave the other threads at the barrier for ever.
                    let reading = Reader::new(state, &Limits::default());
                    let read = || reading.ask_blocking(&page(user(reader))).unwrap().items.len();
                    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                    lost += usize::from(read.ok() != Some(2));
                    end.wait();
                }
                lost
            }));
        }
        for _ in 0..STARTS {
            let opened = Index::with_files(&index, "index", &*log, INDEX_OPTIONS, kept()).unwrap();
            let loaded = State::load(Arc::clone(&log), opened, &Limits::default()).unwrap();
            *state.lock().unwrap() = Some(Arc::new(loaded));
            begin.wait();
            end.wait();
            drop(state.lock().unwrap().take());
        }
        let lost: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(lost, 0, "reads that failed, of {}", READERS * STARTS);
    });
}

/// A log with two posts of each user, and each reader following one of the last users; and a
/// complete index.
fn written() -> (Arc<dyn Log>, Disk) {
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
    let index = Disk::default();
    let opened = Index::with_files(&index, "index", &*log, INDEX_OPTIONS, kept()).unwrap();
    let state = State::load(Arc::clone(&log), opened, &Limits::default()).unwrap();
    let publish = |author| Change::Publish {
        author: user(author),
        content: Content::from_text(PostText::parse("hello").unwrap()),
        request_id: None,
    };
    let follow =
        |reader| Change::Follow { follower: user(reader), followee: user(USERS - 1 - reader) };
    let posts = (0..2).flat_map(|_| 0..USERS).map(publish);
    let changes = posts.chain((0..READERS).map(follow));
    let events = changes.map(|change| Event::new(Timestamp::default(), change));
    log.append(Revision::ZERO, events.collect()).unwrap();

    let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
    let index_of_state = state.index().unwrap();
    let mut writing = state.write_to(index_of_state).unwrap();
    for entry in &entries {
        state.apply(entry.revision, &entry.event).unwrap();
        writing.apply(entry.revision, &entry.event).unwrap();
    }
    let chain = log.chain(log.head()).unwrap().unwrap();
    index_of_state.write(&writing.into_rows(), log.head(), chain).unwrap();
    (log, index)
}

/// A page with both posts of the followee. The older post is only in the index.
fn page(user: UserId) -> HomeFeed {
    HomeFeed { user, position: None, items_max: 2, with_own: false, all_replies: false }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn kept() -> std::time::Duration {
    Limits::default().request_id_retention
}
