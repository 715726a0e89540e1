//! What every log must do, as checks for the tests of each implementation.
//!
//! They panic where a promise of [`Log`] is broken.

#![expect(clippy::unwrap_used, reason = "to panic is how a check fails")]

use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Error, Log, Tail};
use crate::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};

/// A log under test.
pub trait Subject {
    /// Opens the same log again, or a new one the first time. No handle to it is left by then.
    fn open(&self) -> Arc<dyn Log>;
}

/// Checks all promises, on as many new logs as `new_subject` is called for.
///
/// # Panics
/// A promise is broken.
pub fn check<S: Subject>(new_subject: impl Fn() -> S) {
    a_new_log_is_empty(&new_subject());
    what_is_appended_is_read_in_order(&new_subject());
    an_append_elsewhere_than_at_the_head_changes_nothing(&new_subject());
    a_log_opened_again_is_the_same(&new_subject());
    a_reader_sees_whole_batches_only(&new_subject());
    a_tail_from_any_place_misses_nothing(&new_subject());
    a_closed_log_ends_its_tails(&new_subject());
}

fn a_new_log_is_empty(subject: &impl Subject) {
    let log = subject.open();
    assert_eq!(log.head(), Revision::ZERO);
    assert_eq!(log.oldest(), Revision::ZERO);
    assert_eq!(log.get(Revision::new(1)).unwrap(), None);
    assert_eq!(log.get_many(&[]).unwrap(), []);
    assert_eq!(log.get_many(&[Revision::ZERO, Revision::new(1)]).unwrap(), [None, None]);
    assert_eq!(log.read(Revision::ZERO, 10).unwrap(), []);
}

fn what_is_appended_is_read_in_order(subject: &impl Subject) {
    let log = subject.open();
    append(&*log, 0, 3);
    append(&*log, 3, 1);
    append(&*log, 4, 5);

    assert_eq!(log.head(), Revision::new(9));
    assert_eq!(log.read(Revision::ZERO, 100).unwrap(), entries(1..=9));
    assert_eq!(log.read(Revision::new(2), 3).unwrap(), entries(3..=5));
    assert_eq!(log.read(Revision::new(9), 3).unwrap(), []);
    assert_eq!(log.read(Revision::MAX, 3).unwrap(), []);
    assert_eq!(log.get(Revision::new(4)).unwrap(), Some(event(4)));
    assert_eq!(log.get(Revision::new(10)).unwrap(), None);
    assert_eq!(log.get(Revision::ZERO).unwrap(), None);

    // In the order asked for, with a place for each that is missing, and as often as asked for.
    let asked = [7, 2, 10, 9, 0, 2].map(Revision::new);
    let found = [Some(event(7)), Some(event(2)), None, Some(event(9)), None, Some(event(2))];
    assert_eq!(log.get_many(&asked).unwrap(), found);
}

fn an_append_elsewhere_than_at_the_head_changes_nothing(subject: &impl Subject) {
    let log = subject.open();
    append(&*log, 0, 3);
    for elsewhere in [0, 2, 4, u64::MAX] {
        let refused = log.append(Revision::new(elsewhere), vec![event(1)]).unwrap_err();
        assert!(
            matches!(refused, Error::HeadMoved { head } if head == Revision::new(3)),
            "{refused}"
        );
    }
    assert_eq!(log.read(Revision::ZERO, 100).unwrap(), entries(1..=3));
    append(&*log, 3, 1);
}

fn a_log_opened_again_is_the_same(subject: &impl Subject) {
    let log = subject.open();
    let id = log.id();
    append(&*log, 0, 7);
    drop(log);

    let log = subject.open();
    assert_eq!(log.id(), id);
    assert_eq!(log.head(), Revision::new(7));
    assert_eq!(log.read(Revision::ZERO, 100).unwrap(), entries(1..=7));
    append(&*log, 7, 2);
    assert_eq!(log.head(), Revision::new(9));
}

fn a_reader_sees_whole_batches_only(subject: &impl Subject) {
    const BATCH: u64 = 4;
    let log = subject.open();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut head = 0;
            while head < 50 * BATCH {
                head = log.head().get();
                let read = log.read(Revision::ZERO, usize::MAX).unwrap();
                let seen = read.len() as u64;
                assert_eq!(seen % BATCH, 0, "part of a batch was read");
                assert!(seen >= head, "the head was told before it could be read");
                assert_eq!(read, entries(1..=seen));
            }
        });
        for batch in 0..50 {
            append(&*log, batch * BATCH, BATCH);
        }
        reader.join().unwrap();
    });
}

fn a_tail_from_any_place_misses_nothing(subject: &impl Subject) {
    const TAILS: u64 = 8;
    const EVENTS: u64 = 400;
    let log = subject.open();
    append(&*log, 0, 20);
    std::thread::scope(|scope| {
        for place in 0..TAILS {
            let log = Arc::clone(&log);
            scope.spawn(move || {
                // They begin at different moments of the appends below, wherever that is.
                std::thread::sleep(Duration::from_micros(300 * place));
                let mut tail = Tail::new(log, Revision::new(place), 2);
                let mut next = place + 1;
                while next <= EVENTS {
                    let batch = tail.next_batch().unwrap().unwrap();
                    for (revision, seen) in batch.entries() {
                        assert_eq!((revision, seen), (Revision::new(next), &event(next)));
                        next += 1;
                    }
                }
            });
        }
        let mut head = 20;
        while head < EVENTS {
            let count = (head % 7 + 1).min(EVENTS - head);
            append(&*log, head, count);
            head += count;
        }
    });
}

fn a_closed_log_ends_its_tails(subject: &impl Subject) {
    let log = subject.open();
    append(&*log, 0, 2);
    let mut tail = Tail::new(Arc::clone(&log), Revision::ZERO, 4);
    append(&*log, 2, 1);
    log.close();

    let mut seen = 0;
    while let Some(batch) = tail.next_batch().unwrap() {
        seen += batch.events.len();
    }
    assert_eq!(seen, 3, "a tail ends only after what was durable");
    let refused = log.append(log.head(), vec![event(4)]).unwrap_err();
    assert!(matches!(refused, Error::Closed), "{refused}");
    let mut late = Tail::new(log, Revision::new(3), 4);
    assert!(late.next_batch().unwrap().is_none());
}

fn append(log: &dyn Log, after: u64, count: u64) {
    let events = (after + 1..=after + count).map(event).collect();
    log.append(Revision::new(after), events).unwrap();
}

fn entries(revisions: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    let entry = |number| Entry { revision: Revision::new(number), event: event(number) };
    revisions.map(entry).collect()
}

/// An event that is told apart from all others.
fn event(number: u64) -> Event {
    let user = |name: &str| UserId::parse(&format!("{name}{number}")).unwrap();
    let change = match number % 3 {
        0 => Change::Follow { follower: user("a"), followee: user("b") },
        1 => Change::Unfollow { follower: user("a"), followee: user("b") },
        _ => {
            let text = PostText::parse(&format!("post {number} · ñandú 🐦")).unwrap();
            Change::Publish { author: user("c"), content: Content::of_text(text), request_id: None }
        }
    };
    Event { time: Timestamp::from_nanos(number), change }
}
