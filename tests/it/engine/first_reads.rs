//! The first reads after a start: many at once, of authors of whom memory has only the newest post.

use std::sync::{Arc, Barrier, Mutex};

use whimbrel::config::Limits;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::query::{HomeFeed, Reader};
use whimbrel::state::State;
use whimbrel::storage::{Index, LocalLog, Log};

use crate::harness::Disk;
use crate::storage::local_log::OPTIONS;

/// Enough for some pages of what is kept by user, so that there is something to grow.
const USERS: usize = 320;
const READERS: usize = 8;
const STARTS: usize = 2_000;

/// What one reader takes into memory is there for the others, whoever comes first: nobody finds a
/// place that is not made yet.
#[test]
fn many_read_at_once_right_after_a_start() {
    let (log, index) = written();
    let (begin, end) = (Barrier::new(READERS + 1), Barrier::new(READERS + 1));
    let view: Mutex<Option<Arc<State>>> = Mutex::new(None);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for reader in 0..READERS {
            let (view, begin, end) = (&view, &begin, &end);
            readers.push(scope.spawn(move || {
                let mut lost = 0;
                for _ in 0..STARTS {
                    begin.wait();
                    let view = view.lock().unwrap().clone().unwrap();
                    // A panic would leave the others at the barrier for ever.
                    let reading = Reader::new(view, &Limits::default());
                    let read = || reading.ask_blocking(&page(user(reader))).unwrap().items.len();
                    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                    lost += usize::from(read.ok() != Some(2));
                    end.wait();
                }
                lost
            }));
        }
        for _ in 0..STARTS {
            let opened = Index::with_files(&index, "index", &*log, OPTIONS, kept()).unwrap();
            let loaded = State::load(Arc::clone(&log), opened, &Limits::default());
            *view.lock().unwrap() = Some(Arc::new(loaded));
            begin.wait();
            end.wait();
            drop(view.lock().unwrap().take());
        }
        let lost: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(lost, 0, "reads that failed, of {}", READERS * STARTS);
    });
}

/// A log in which every user has two posts, and each reader follows one of the last users; and an
/// index that has all of it.
fn written() -> (Arc<dyn Log>, Disk) {
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_files(Disk::default(), "disk", OPTIONS).unwrap());
    let index = Disk::default();
    let opened = Index::with_files(&index, "index", &*log, OPTIONS, kept()).unwrap();
    let view = State::load(Arc::clone(&log), opened, &Limits::default());
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
    let index_of_view = view.index().unwrap();
    let mut writing = view.write_to(index_of_view).unwrap();
    for entry in &entries {
        view.apply(entry.revision, &entry.event).unwrap();
        writing.apply(entry.revision, &entry.event).unwrap();
    }
    index_of_view.write(&mut writing.into_rows(), entries.last().unwrap()).unwrap();
    (log, index)
}

/// Both posts of whoever is followed: the older one is in the index alone.
fn page(user: UserId) -> HomeFeed {
    HomeFeed { user, position: None, items_max: 2, with_own: false, all_replies: false }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn kept() -> std::time::Duration {
    Limits::default().request_id_retention
}
