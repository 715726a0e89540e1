//! Conformance tests for implementations of [`Log`]. A broken promise makes them panic; they never
//! test how a log is stored.

#![expect(clippy::unwrap_used, reason = "to panic is how a check fails")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::tail::Tail;
use super::{EraseOutcome, Erasure, Log, LogEntry};
use crate::model::{
    Attachment, Change, Content, Epochs, Event, Facet, Facets, Feature, Lang, Link, LogTime,
    PostId, PostRef, PostText, ReplyTo, RequestId, Revision, SeveredFollows, Tag, Timestamp,
    UserId,
};
use crate::storage::error::Error;

/// A log under test.
pub trait LogUnderTest {
    /// Opens the log; the first call creates it. No earlier handle is open at a call.
    fn open(&self) -> Arc<dyn Log>;
}

/// Tests all promises of [`Log`]. Each test takes a new log from `new_subject`.
///
/// # Panics
/// A promise is broken.
pub fn check<S: LogUnderTest>(new_subject: impl Fn() -> S) {
    a_new_log_is_empty(&new_subject());
    every_kind_of_change_is_kept_whole(&new_subject());
    what_is_appended_is_read_in_order(&new_subject());
    an_append_not_at_the_head_changes_nothing(&new_subject());
    a_log_opened_again_is_the_same(&new_subject());
    a_reader_sees_whole_batches_only(&new_subject());
    a_tail_from_any_revision_misses_nothing(&new_subject());
    a_closed_log_ends_its_tails(&new_subject());
    posts_are_erased_and_nothing_else(&new_subject());
    an_erasure_that_is_abandoned_changes_nothing(&new_subject());
    appends_and_reads_go_on_during_an_erasure(&new_subject());
    the_chain_is_of_all_events_up_to_a_revision(&new_subject(), &new_subject());
    each_opening_has_an_epoch(&new_subject());
}

fn a_new_log_is_empty(subject: &impl LogUnderTest) {
    let log = subject.open();
    assert_eq!(log.head(), Revision::ZERO);
    assert_eq!(log.oldest(), Revision::ZERO);
    assert_eq!(log.get(Revision::new(1)).unwrap(), None);
    assert_eq!(log.get_many(&[]).unwrap(), []);
    assert_eq!(log.get_many(&[Revision::ZERO, Revision::new(1)]).unwrap(), [None, None]);
    assert_eq!(log.read(Revision::ZERO, 10).unwrap(), []);
}

fn every_kind_of_change_is_kept_whole(subject: &impl LogUnderTest) {
    let log = subject.open();
    append(&*log, 0, 120);
    assert_eq!(log.read(Revision::ZERO, 200).unwrap(), entries(1..=120));
}

fn what_is_appended_is_read_in_order(subject: &impl LogUnderTest) {
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

    // In the order of the request, with `None` for each missing event, and with repetitions.
    let requested = [7, 2, 10, 9, 0, 2].map(Revision::new);
    let found = [Some(event(7)), Some(event(2)), None, Some(event(9)), None, Some(event(2))];
    assert_eq!(log.get_many(&requested).unwrap(), found);
}

fn an_append_not_at_the_head_changes_nothing(subject: &impl LogUnderTest) {
    let log = subject.open();
    append(&*log, 0, 3);
    for after in [0, 2, 4, u64::MAX] {
        let refused = log.append(Revision::new(after), vec![event(1)]).unwrap_err();
        assert!(
            matches!(refused, Error::HeadMoved { head } if head == Revision::new(3)),
            "{refused}"
        );
        let unconfirmed = log.confirm(Revision::new(after)).unwrap_err();
        assert!(matches!(unconfirmed, Error::HeadMoved { .. }), "{unconfirmed}");
    }
    assert_eq!(log.read(Revision::ZERO, 100).unwrap(), entries(1..=3));
    log.confirm(Revision::new(3)).unwrap();
    append(&*log, 3, 1);
}

fn a_log_opened_again_is_the_same(subject: &impl LogUnderTest) {
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

fn a_reader_sees_whole_batches_only(subject: &impl LogUnderTest) {
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
                assert!(seen >= head, "the head moved before its event could be read");
                assert_eq!(read, entries(1..=seen));
            }
        });
        for batch in 0..50 {
            append(&*log, batch * BATCH, BATCH);
        }
        reader.join().unwrap();
    });
}

fn a_tail_from_any_revision_misses_nothing(subject: &impl LogUnderTest) {
    const TAILS: u64 = 8;
    const EVENTS: u64 = 400;
    let log = subject.open();
    append(&*log, 0, 20);
    std::thread::scope(|scope| {
        for after in 0..TAILS {
            let log = Arc::clone(&log);
            scope.spawn(move || {
                // The tails begin at different moments of the appends below.
                std::thread::sleep(Duration::from_micros(300 * after));
                let mut tail = Tail::new(log, Revision::new(after), 2);
                let mut next = after + 1;
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

fn a_closed_log_ends_its_tails(subject: &impl LogUnderTest) {
    let log = subject.open();
    append(&*log, 0, 2);
    let mut tail = Tail::new(Arc::clone(&log), Revision::ZERO, 4);
    append(&*log, 2, 1);
    log.close();

    let mut seen = 0;
    while let Some(batch) = tail.next_batch().unwrap() {
        seen += batch.events.len();
    }
    assert_eq!(seen, 3, "a tail ends only after the last durable batch");
    let refused = log.append(log.head(), vec![event(4)]).unwrap_err();
    assert!(matches!(refused, Error::Closed), "{refused}");
    let mut late = Tail::new(log, Revision::new(3), 4);
    assert!(late.next_batch().unwrap().is_none());
}

fn posts_are_erased_and_nothing_else(subject: &impl LogUnderTest) {
    let log = subject.open();
    let id = log.id();
    assert_eq!(log.erased_until(), Revision::ZERO);
    erase(&*log, [], 0);
    append(&*log, 0, 200);
    let mut tail = Tail::new(Arc::clone(&log), Revision::new(150), 4);

    // Some of these revisions published no post.
    let is_erased = |number: &u64| number % 2 == 1 && *number < 120;
    erase(&*log, (1..=200).filter(is_erased), 130);
    let left = |number| if is_erased(&number) { event(number).erased() } else { event(number) };
    let left = |numbers: std::ops::RangeInclusive<u64>| -> Vec<_> {
        let entry = |number| LogEntry { revision: Revision::new(number), event: left(number) };
        numbers.map(entry).collect()
    };
    assert_ne!(left(1..=200), entries(1..=200), "some of them are posts");
    assert_eq!(log.read(Revision::ZERO, 300).unwrap(), left(1..=200));
    assert_eq!(log.get(Revision::new(1)).unwrap(), Some(event(1).erased()));
    assert_eq!((log.id(), log.head()), (id, Revision::new(200)));
    assert_eq!(log.erased_until(), Revision::new(130));

    append(&*log, 200, 2);
    let mut next = 151;
    while next <= 202 {
        for (revision, seen) in tail.next_batch().unwrap().unwrap().entries() {
            assert_eq!((revision, seen), (Revision::new(next), &event(next)));
            next += 1;
        }
    }
    // A second erasure keeps the effect of the first, and so does an opening.
    erase(&*log, [201], 202);
    drop((tail, log));
    let log = subject.open();
    assert_eq!((log.id(), log.head()), (id, Revision::new(202)));
    assert_eq!(log.erased_until(), Revision::new(202));
    assert_eq!(log.read(Revision::ZERO, 200).unwrap(), left(1..=200));
    assert_eq!(log.get(Revision::new(201)).unwrap(), Some(event(201).erased()));
    assert_eq!(log.get(Revision::new(202)).unwrap(), Some(event(202)));
    append(&*log, 202, 1);
}

fn an_erasure_that_is_abandoned_changes_nothing(subject: &impl LogUnderTest) {
    let log = subject.open();
    append(&*log, 0, 40);
    let erasure = Erasure { posts: vec![Revision::new(1)], until: Revision::new(40) };
    let outcome = log.erase(&erasure, &|| false).unwrap();
    assert!(matches!(outcome, EraseOutcome::Abandoned), "{outcome:?}");
    assert_eq!(log.read(Revision::ZERO, 100).unwrap(), entries(1..=40));
    assert_eq!(log.erased_until(), Revision::ZERO);
    append(&*log, 40, 2);
    log.close();
    let outcome = log.erase(&erasure, &|| true).unwrap();
    assert!(!matches!(outcome, EraseOutcome::Done), "a closed log stays as it is");
    drop(log);
    assert_eq!(subject.open().read(Revision::ZERO, 100).unwrap(), entries(1..=42));
}

fn appends_and_reads_go_on_during_an_erasure(subject: &impl LogUnderTest) {
    const EVENTS: u64 = 600;
    let log = subject.open();
    append(&*log, 0, 100);
    let mut tail = Tail::new(Arc::clone(&log), Revision::ZERO, 4);
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut next = 1;
            while next <= EVENTS {
                let batch = tail.next_batch().unwrap().unwrap();
                for (revision, seen) in batch.entries() {
                    assert_eq!(revision, Revision::new(next));
                    assert!(*seen == event(next) || *seen == event(next).erased());
                    next += 1;
                }
            }
        });
        let writer = scope.spawn(|| (100..EVENTS).for_each(|head| append(&*log, head, 1)));
        let mut last = 0;
        while !writer.is_finished() {
            last = log.head().get();
            erase(&*log, 1..=last, last);
            let read = log.read(Revision::ZERO, usize::MAX).unwrap();
            assert!(read.len() as u64 >= last);
            for (number, entry) in (1..).zip(read) {
                let event = if number <= last { event(number).erased() } else { event(number) };
                assert_eq!(entry, LogEntry { revision: Revision::new(number), event });
            }
        }
        assert!(last > 0, "no erasure ran during the appends");
        follower.join().unwrap();
    });
    assert_eq!(log.head(), Revision::new(EVENTS));
}

fn the_chain_is_of_all_events_up_to_a_revision(
    subject: &impl LogUnderTest,
    other: &impl LogUnderTest,
) {
    const EVENTS: u64 = 60;
    let log = subject.open();
    let chain = |log: &dyn Log, revision| log.chain(Revision::new(revision)).unwrap();
    append(&*log, 0, 1);
    append(&*log, 1, EVENTS - 1);
    let chains: Vec<_> = (0..=EVENTS).map(|revision| chain(&*log, revision).unwrap()).collect();
    let different: HashSet<_> = chains.iter().collect();
    assert_eq!(different.len(), chains.len(), "each event changes the chain");
    assert_eq!(chain(&*log, EVENTS + 1), None);
    assert_eq!(chain(&*log, u64::MAX), None);

    let same = |log: &dyn Log, when: &str| {
        let now: Vec<_> = (0..=EVENTS).map(|revision| chain(log, revision).unwrap()).collect();
        assert_eq!(now, chains, "the chain changed {when}");
    };
    erase(&*log, 1..=EVENTS, EVENTS);
    same(&*log, "by an erasure");
    append(&*log, EVENTS, 5);
    same(&*log, "by an append");
    drop(log);
    same(&*subject.open(), "by an opening");

    // The same events in another log, which has other random keys.
    let other = other.open();
    append(&*other, 0, 2);
    assert_ne!(chain(&*other, 0), Some(chains[0]), "two logs have different chains");
    assert_ne!(chain(&*other, 2), Some(chains[2]), "two logs have different chains");
}

fn each_opening_has_an_epoch(subject: &impl LogUnderTest) {
    let first = subject.open();
    append(&*first, 0, 3);
    append(&*first, 3, 2);
    let of_first = first.epochs().at(Revision::new(1));
    let is_first = |epochs: Epochs, revision| epochs.at(Revision::new(revision)) == of_first;
    assert!((1..=6).all(|revision| is_first(first.epochs(), revision)));
    drop(first);

    // One that appends nothing leaves no trace.
    drop(subject.open());
    let second = subject.open();
    assert!((1..=5).all(|revision| is_first(second.epochs(), revision)));
    append(&*second, 5, 2);
    assert!(!is_first(second.epochs(), 6));
    let of_second = second.epochs().at(Revision::new(6));
    erase(&*second, 1..=7, 7);
    drop(second);

    let third = subject.open();
    assert!((1..=5).all(|revision| is_first(third.epochs(), revision)));
    assert!((6..=7).all(|revision| third.epochs().at(Revision::new(revision)) == of_second));
    append(&*third, 7, 1);
    assert_ne!(third.epochs().at(Revision::new(8)), of_second);
}

fn erase(log: &dyn Log, posts: impl IntoIterator<Item = u64>, until: u64) {
    let posts = posts.into_iter().map(Revision::new).collect();
    let erasure = Erasure { posts, until: Revision::new(until) };
    let outcome = log.erase(&erasure, &|| true).unwrap();
    assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
}

fn append(log: &dyn Log, after: u64, count: u64) {
    let events = (after + 1..=after + count).map(event).collect();
    log.append(Revision::new(after), events).unwrap();
}

fn entries(revisions: std::ops::RangeInclusive<u64>) -> Vec<LogEntry> {
    let entry = |number| LogEntry { revision: Revision::new(number), event: event(number) };
    revisions.map(entry).collect()
}

/// Event `number`, which equals no other. Consecutive numbers go through all kinds of changes.
fn event(number: u64) -> Event {
    // Clocks ahead of the log's own time and behind it, up to the greatest difference.
    let nanos = [number, u64::MAX - number, number.wrapping_mul(1 << 40)];
    let log_nanos = [number, number, u64::MAX - number];
    let kind = (number / 3 % 3) as usize;
    Event {
        time: Timestamp::from_nanos(nanos[kind]),
        log_time: LogTime::from_nanos(log_nanos[kind]),
        change: change(number),
    }
}

fn change(number: u64) -> Change {
    let user = |name: &str| UserId::parse(&format!("{name}{number}")).unwrap();
    let id = |number: u64| PostId::from_revision(Revision::new(number));
    let post = |number: u64| PostRef { id: id(number), author: user("author") };
    // Each flag on and off, and each optional part present and missing.
    let round = number / 20;
    let (odd, third) = (!round.is_multiple_of(2), round.is_multiple_of(3));
    let request_id = third.then(|| RequestId::parse(&format!("request{number}")).unwrap());
    let reply_to = || ReplyTo { parent: post(7), root: if odd { post(7) } else { post(3) } };
    let reply_to = (!third).then(|| Box::new(reply_to()));
    let quote = odd.then(|| post(9));
    match number % 20 {
        1..=3 => {
            let text = PostText::parse(&format!("post {number} · ñandú 🐦")).unwrap();
            Change::Publish { author: user("c"), content: Content::from_text(text), request_id }
        }
        4..=6 => {
            let attachment = |name: &str| {
                let uri = format!("https://example.org/{name}{number}");
                Attachment::parse(&uri, if odd { "image/png" } else { "" }, name).unwrap()
            };
            let content = Content {
                reply_to,
                quote,
                attachments: ["one", ""].map(attachment).into(),
                langs: ["en", "pt-BR"].map(|lang| Lang::parse(lang).unwrap()).into(),
                ..if third { Content::from_text(PostText::empty()) } else { with_facets(odd) }
            };
            Change::Publish { author: user("c"), content, request_id }
        }
        7 => Change::Erased { author: user("c"), reply_to, quote, request_id },
        8 => Change::Delete {
            post: post(number),
            reply_to: odd.then(|| id(2)),
            quote: third.then(|| id(4)),
            notified: if odd { vec![user("d"), user("e")] } else { Vec::new() },
        },
        9 => Change::Like { user: user("a"), post: post(number) },
        10 => Change::Unlike { user: user("a"), post: post(number), since: None },
        11 => Change::Repost { user: user("a"), post: post(number) },
        12 => Change::Unrepost {
            user: user("a"),
            post: post(number),
            since: Some(Revision::new(number)),
        },
        13 => {
            let severed = SeveredFollows { following: odd, follower: third };
            Change::Block { blocker: user("a"), blocked: user("b"), severed }
        }
        14 => Change::Unblock { blocker: user("a"), blocked: user("b") },
        15 => Change::Mute { muter: user("a"), muted: user("b") },
        16 => Change::Unmute { muter: user("a"), muted: user("b"), follows: odd },
        17 => Change::See { user: user("a"), until: Revision::new(number / 2) },
        18 => Change::Unfollow {
            follower: user("a"),
            followee: user("b"),
            since: Some(Revision::new(number)),
        },
        _ => Change::Follow { follower: user("a"), followee: user("b") },
    }
}

/// A text with a facet of every kind.
fn with_facets(is_from_author: bool) -> Content {
    let text = PostText::parse("ñ @a #tag https://example.org").unwrap();
    let user = UserId::parse("auth0|a").unwrap();
    let facet = |start, end, feature| Facet { start, end, feature };
    let facets = [
        facet(3, 5, Feature::Mention(user.clone())),
        facet(6, 10, Feature::Tag(Tag::parse("tag").unwrap())),
        facet(11, 30, Feature::Link(Link::parse("https://example.org/").unwrap())),
    ];
    let facets = if is_from_author {
        Facets::from_author(&text, facets.into()).unwrap()
    } else {
        Facets::from_scan(facets.into())
    };
    Content { facets, mentioned: [user].into(), ..Content::from_text(text) }
}
