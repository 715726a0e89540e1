//! The index is never the truth: whatever a crash, a restore or the years made of it, what is read
//! is what the log says.

use std::sync::Arc;
use std::time::Duration;
use whimbrel::model::Relation;

use proptest::prelude::*;
use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{
    Change, Content, Event, PostText, RelationKind, RequestId, Revision, Timestamp, UserId,
};
use whimbrel::query::{
    Backlog, BacklogEntry, BacklogKind, FeedBacklog, HomeFeed, PagePosition, Reader,
};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::State;
use whimbrel::storage::{self, Index, LocalLog, Log, OpenedIndex};

use crate::harness::{Disk, within};
use crate::storage::fragile_disk::FragileDisk;
use crate::storage::local_log::OPTIONS;

const USERS: usize = 6;
/// Workloads, each cut at many points, half of them again while recovering.
const SEEDS: u64 = 6;
const CUTS_PER_SEED: usize = 40;

/// Little stays in memory that the index has, and the index is written all the time.
fn limits() -> Limits {
    Limits {
        recent_revisions_per_author_max: 2,
        index_events_max: 7,
        index_write_delay_max: Duration::from_millis(1),
        post_cache_bytes_max: 1 << 12,
        ..Limits::default()
    }
}

/// Cuts the power at random moments of the log's and the index's writes, and again while the index
/// is brought up to the log after that.
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

/// What was stopped in order begins where it ended: nothing is left to replay.
#[test]
fn after_a_stop_in_order_nothing_is_replayed() {
    let (log, index) = new_disks();
    make_changes(&log, &index, &mut fastrand::Rng::with_seed(1));
    let log = open_log(log.content());
    let opened = open_index(&Disk::holding(index.content()), &log);
    assert_eq!(opened.contents.complete_until, log.head());
    assert!(log.head() > Revision::new(100));
}

/// A log that ends before its index does is refused, whether it lost its end or is an older copy: what
/// is missing is not left out in silence.
#[test]
fn a_log_that_ends_before_its_index_is_refused() {
    let mut random = fastrand::Rng::with_seed(2);
    let (log_disk, index_disk) = new_disks();
    make_changes(&log_disk, &index_disk, &mut random);
    let shorter = open_log(log_disk.content());
    make_changes(&log_disk, &index_disk, &mut random);
    let index = Disk::holding(index_disk.content());
    let kept = limits().request_id_retention;
    let error = Index::with_files(&index, "the index", &shorter, OPTIONS, kept).unwrap_err();
    let storage::Error::EndsEarly { head, indexed_until, .. } = &error else { panic!("{error}") };
    assert_eq!(*head, shorter.head());
    assert!(indexed_until > head);
    assert!(error.to_string().contains("the index"), "{error}");
}

/// An index of another log, of another history of the same log, of another format, and none at all.
#[test]
fn an_index_that_does_not_fit_is_made_anew() {
    let mut random = fastrand::Rng::with_seed(2);
    let (log_disk, index_disk) = new_disks();
    make_changes(&log_disk, &index_disk, &mut random);
    let backup = log_disk.content();
    make_changes(&log_disk, &index_disk, &mut random);
    let (log, index) = (log_disk.content(), index_disk.content());
    assert!(opened_until(&log, &index) > Revision::ZERO, "it fits its own log");

    let other = new_disks().0;
    make_changes(&other, &FragileDisk::default(), &mut random);
    assert_eq!(opened_until(&other.content(), &index), Revision::ZERO, "of another log");
    assert_eq!(opened_until(&log, &[]), Revision::ZERO, "none");

    // The restored log goes on, beyond where the index is.
    let restored = FragileDisk::with(backup);
    while open_log(restored.content()).head() <= open_log(log.clone()).head() {
        make_changes(&restored, &FragileDisk::default(), &mut random);
    }
    assert_eq!(opened_until(&restored.content(), &index), Revision::ZERO, "of another history");
    check_recovered(&restored, &FragileDisk::with(index));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    })]

    /// Random histories, with an index that is written every so often and now and then opened
    /// anew: every read is that of a view that has all in memory.
    #[test]
    fn what_is_read_from_the_index_is_what_memory_would_have_had(
        acts in proptest::collection::vec((0..4_u8, 0..USERS, 0..USERS), 1..120),
        every in 1..12_usize,
        reopen_every in 1..60_usize,
        recent_max in 1..5_usize,
        lag in 0..4_usize,
    ) {
        let limits = Limits { recent_revisions_per_author_max: recent_max, ..limits() };
        let log: Arc<dyn Log> = Arc::new(open_log(Vec::new()));
        let whole = Arc::new(State::new(Arc::clone(&log), &limits));
        let index = Disk::default();
        let load = |index: &Disk| {
            Arc::new(State::load(Arc::clone(&log), open_index(index, &*log), &limits))
        };
        let mut view = load(&index);
        for (number, act) in acts.into_iter().enumerate() {
            let Some(event) = event(&whole, number, act) else { continue };
            log.append(log.head(), vec![event.clone()]).unwrap();
            whole.apply(log.head(), &event).unwrap();
            view.apply(log.head(), &event).unwrap();
            if number % every == 0 {
                write_index(&view, &*log, lag);
            }
            if number % reopen_every == 0 {
                drop(view);
                view = load(&index);
                replay(&view, &*log);
            }
            if number % 13 == 0 {
                assert_same(&view, &whole);
            }
        }
        assert_same(&view, &whole);
    }
}

/// The index is written, and memory shortened, while somebody reads: nothing is missed in between.
#[test]
fn what_leaves_memory_during_a_read_is_found_in_the_index() {
    const POSTS: u64 = 1_500;
    let limits = Limits { recent_revisions_per_author_max: 1, ..limits() };
    let log: Arc<dyn Log> = Arc::new(open_log(Vec::new()));
    let whole = Arc::new(State::new(Arc::clone(&log), &limits));
    let view =
        Arc::new(State::load(Arc::clone(&log), open_index(&Disk::default(), &*log), &limits));
    let follows = (1..USERS).map(|followee| (0, 0, followee));
    let posts = (0..POSTS as usize).map(|post| (2, 1 + post % (USERS - 1), 0));
    for (number, act) in follows.chain(posts).enumerate() {
        let event = event(&whole, number, act).unwrap();
        log.append(log.head(), vec![event.clone()]).unwrap();
        whole.apply(log.head(), &event).unwrap();
        view.apply(log.head(), &event).unwrap();
    }
    let (name, head) = (user(0), log.head());
    let page = HomeFeed {
        user: name.clone(),
        position: None,
        items_max: 1_000,
        with_own: false,
        all_replies: false,
    };
    let kind = BacklogKind::Events;
    let backlog = FeedBacklog {
        user: name,
        all_replies: false,
        after: Revision::ZERO,
        until: head,
        kind,
        events_max: 2_000,
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for lag in (0..POSTS as usize).rev().step_by(10) {
                write_index(&view, &*log, lag);
            }
        });
        let whole = reader(&whole);
        let whole =
            (whole.ask_blocking(&page).unwrap().items, missed(&whole.ask_blocking(&backlog)));
        let reader = reader(&view);
        while !writer.is_finished() {
            assert_eq!(reader.ask_blocking(&page).unwrap().items, whole.0);
            assert_eq!(missed(&reader.ask_blocking(&backlog)), whole.1);
        }
    });
}

/// Both directions of the graph say the same, also of somebody whom thousands follow.
#[test]
fn followers_are_the_other_side_of_followees() {
    let mut random = fastrand::Rng::with_seed(3);
    let log: Arc<dyn Log> = Arc::new(open_log(Vec::new()));
    let view = Arc::new(State::new(log, &Limits::default()));
    let star = user(0);
    let mut follows = std::collections::BTreeSet::new();
    for revision in 1..12_000 {
        // First they come and then they go.
        let comes = random.u32(..12_000) > revision;
        let follower = random.usize(1..4_000);
        let change = |follower| match comes {
            true => Change::Follow { follower, followee: star.clone() },
            false => Change::Unfollow { follower, followee: star.clone(), since: None },
        };
        let changes = if comes { follows.insert(follower) } else { follows.remove(&follower) };
        if changes {
            let event = Event::new(Timestamp::default(), change(user(follower)));
            view.apply(Revision::new(view.applied().get() + 1), &event).unwrap();
        }
        if revision % 500 == 0 {
            assert_eq!(view.follower_count(&star), follows.len());
            let mut paged = Vec::new();
            loop {
                let page = view.followers(&star, paged.last(), random.usize(1..700));
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged.len(), follows.len());
            assert!(paged.iter().all(|follower| since(&view, follower, &star).is_some()));
            paged.sort();
            paged.dedup();
            assert_eq!(paged.len(), follows.len(), "nobody is there twice");
        }
    }
}

/// The event of `act`, if it changes something.
fn event(view: &State, number: usize, (kind, one, other): (u8, usize, usize)) -> Option<Event> {
    let (follower, followee) = (user(one), user(other));
    let follows = since(view, &follower, &followee).is_some();
    let change = match kind {
        0 if one != other && !follows => Change::Follow { follower, followee },
        1 if follows => Change::Unfollow { follower, followee, since: None },
        0 | 1 => return None,
        _ => Change::Publish {
            author: follower,
            content: Content::from_text(PostText::parse(&format!("post {number}")).unwrap()),
            request_id: (kind == 3).then(|| request_id(number)),
        },
    };
    // A day goes by in sixty events, so request ids are forgotten too.
    let time = Timestamp::from_nanos(number as u64 * 24 * 60 * 1_000_000_000);
    Some(Event::new(time, change))
}

/// Brings the index of `view` up to it but for `lag` events, as the indexer does.
fn write_index(view: &State, log: &dyn Log, lag: usize) {
    let index = view.index().unwrap();
    let mut entries = log.read(index.complete_until(), usize::MAX).unwrap();
    entries.truncate(entries.len().saturating_sub(lag));
    let Some(last) = entries.last() else { return };
    let mut writing = view.write_to(index).unwrap();
    for entry in &entries {
        writing.apply(entry.revision, &entry.event).unwrap();
    }
    let mut rows = writing.into_rows();
    index.write(&mut rows, last).unwrap();
    view.indexed(&rows, last.revision);
}

fn replay(view: &State, log: &dyn Log) {
    for entry in log.read(view.applied(), usize::MAX).unwrap() {
        view.apply(entry.revision, &entry.event).unwrap();
    }
}

/// What is found on the disks is what a replay of all that the log has makes.
fn check_recovered(log: &FragileDisk, index: &FragileDisk) {
    let log: Arc<dyn Log> = Arc::new(open_log(log.content()));
    let whole = Arc::new(State::new(Arc::clone(&log), &limits()));
    replay(&whole, &*log);
    let opened = open_index(&Disk::holding(index.content()), &*log);
    let view = Arc::new(State::load(Arc::clone(&log), opened, &limits()));
    replay(&view, &*log);
    assert_same(&view, &whole);
    // The tables have all they say that they have.
    write_index(&view, &*log, 0);
    assert_same(&view, &whole);
}

/// All that can be read is the same, whether it comes from memory or from the index.
fn assert_same(view: &Arc<State>, whole: &Arc<State>) {
    let head = whole.applied().get();
    assert_eq!(view.applied(), whole.applied());
    for name in (0..USERS).map(user) {
        let mut followees = view.followees(&name);
        let mut expected = whole.followees(&name);
        followees.sort();
        expected.sort();
        assert_eq!(followees, expected);
        assert_eq!(view.count(RelationKind::Follow, &name), expected.len());
        for other in (0..USERS).map(user) {
            assert_eq!(since(view, &name, &other), since(whole, &name, &other));
            let follows = since(view, &name, &other).is_some();
            assert_eq!(view.followers(&other, None, USERS).contains(&name), follows);
        }
        assert_eq!(view.follower_count(&name), whole.follower_count(&name));
        assert_eq!(view.followers(&name, None, USERS).len(), whole.follower_count(&name));
        for number in 0..head as usize {
            let id = request_id(number);
            assert_eq!(view.requested(&name, &id), whole.requested(&name, &id), "{id:?}");
        }
        assert_same_feed(view, whole, &name);
    }
}

fn assert_same_feed(view: &Arc<State>, whole: &Arc<State>, name: &UserId) {
    let head = whole.applied().get();
    let (reader, whole) = (reader(view), reader(whole));
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

fn reader(state: &Arc<State>) -> Reader {
    Reader::new(Arc::clone(state), &limits())
}

fn since(state: &State, follower: &UserId, followee: &UserId) -> Option<Revision> {
    state.since(&Relation::Follow(follower.clone(), followee.clone()))
}

/// Where the events of a backlog are, whether their authors are in the feed, and how far it goes.
fn missed(
    backlog: &Result<Backlog<BacklogEntry>, whimbrel::query::Error>,
) -> (Vec<(Revision, bool)>, Revision) {
    let backlog = backlog.as_ref().unwrap();
    let events = backlog.events.iter().map(|entry| (entry.revision, entry.is_from_author));
    (events.collect(), backlog.reached)
}

/// Changes of all kinds by several callers at once, and a stop in order.
fn make_changes(log: &FragileDisk, index: &FragileDisk, random: &mut fastrand::Rng) {
    runtime().block_on(async {
        let engine = open_engine(log, index);
        for _ in 0..16 {
            let mut calls = JoinSet::new();
            for _ in 0..random.u64(1..=24) {
                let engine = engine.clone();
                let (one, other) = (user(random.usize(..USERS)), user(random.usize(..USERS)));
                let (kind, number) = (random.u8(..5), random.usize(..1_000));
                calls.spawn(async move {
                    // That one cannot follow oneself, or that an id was used, is beside the point.
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
            // Lets the index be written in between.
            tokio::time::sleep(Duration::from_millis(random.u64(..4))).await;
        }
        within("the engine to stop", engine.stop()).await;
    });
}

/// Both disks after the power of both was cut at one moment.
fn cut_both(
    log: &FragileDisk,
    index: &FragileDisk,
    random: &mut fastrand::Rng,
) -> (FragileDisk, FragileDisk) {
    let moment = random.usize(..=log.moments());
    let log = FragileDisk::with(log.cut_at(moment, random).0);
    let index = index.cut_at(moment, random).0;
    let index = FragileDisk::beside(&log, index);
    (log, index)
}

/// The disks of a new log, and of an index that is not there yet.
fn new_disks() -> (FragileDisk, FragileDisk) {
    let disk = FragileDisk::default();
    drop(LocalLog::with_files(disk.clone(), "disk", OPTIONS).unwrap());
    let log = FragileDisk::with(disk.content());
    let index = FragileDisk::beside(&log, Vec::new());
    (log, index)
}

fn open_engine(log: &FragileDisk, index: &FragileDisk) -> Engine {
    let log = LocalLog::with_files(log.clone(), "disk", OPTIONS).unwrap();
    let kept = limits().request_id_retention;
    let opened = Index::with_files(index, "index", &log, OPTIONS, kept).unwrap();
    Engine::open_indexed(Arc::new(log), opened, &limits(), Clock::system(), &CriticalThreads::new())
        .unwrap()
}

fn opened_until(log: &[u8], index: &[u8]) -> Revision {
    let log = open_log(log.to_vec());
    open_index(&Disk::holding(index.to_vec()), &log).contents.complete_until
}

fn open_log(content: Vec<u8>) -> LocalLog {
    LocalLog::with_files(Disk::holding(content), "disk", OPTIONS).unwrap()
}

fn open_index(disk: &Disk, log: &dyn Log) -> OpenedIndex {
    Index::with_files(disk, "index", log, OPTIONS, limits().request_id_retention).unwrap()
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user{number}")).unwrap()
}

fn request_id(number: usize) -> RequestId {
    RequestId::parse(&format!("r{number}")).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
