//! Reads that combine memory and the index. Never writes a log on a disk that fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use whimbrel::config::Limits;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp};
use whimbrel::query::{BacklogKind, FeedBacklog, HomeFeed};
use whimbrel::state::State;
use whimbrel::storage::Log;

use super::{
    USERS, assert_same, limits, missed, open_index, open_log, reader, replay, request_id, since,
    user, write_index,
};
use crate::harness::{Disk, MemoryFolder};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    })]

    /// Random histories with an index that is written and reopened from time to time: every read is
    /// that of a state with all records in memory.
    #[test]
    fn reads_from_the_index_match_reads_from_memory(
        changes in proptest::collection::vec((0..4_u8, 0..USERS, 0..USERS), 1..120),
        every in 1..12_usize,
        reopen_every in 1..60_usize,
        recent_max in 1..5_usize,
        lag in 0..4_usize,
    ) {
        let limits = Limits { recent_revisions_per_author_max: recent_max, ..limits() };
        let log: Arc<dyn Log> = Arc::new(open_log(MemoryFolder::default()));
        let whole = Arc::new(State::new(Arc::clone(&log), &limits));
        let index = Disk::default();
        let load = |index: &Disk| {
            Arc::new(State::load(Arc::clone(&log), open_index(index, &*log), &limits).unwrap())
        };
        let mut state = load(&index);
        for (number, change) in changes.into_iter().enumerate() {
            let Some(event) = event(&whole, number, change) else { continue };
            log.append(log.head(), vec![event.clone()]).unwrap();
            whole.apply(log.head(), &event).unwrap();
            state.apply(log.head(), &event).unwrap();
            if number % every == 0 {
                write_index(&state, &*log, lag);
            }
            if number % reopen_every == 0 {
                drop(state);
                state = load(&index);
                replay(&state, &*log);
            }
            if number % 13 == 0 {
                assert_same(&state, &whole);
            }
        }
        assert_same(&state, &whole);
    }
}

/// The index is written, and the records leave memory, while a reader reads: no record is missed.
#[test]
fn records_that_leave_memory_during_a_read_are_read_from_the_index() {
    const POSTS: u64 = 1_500;
    let limits = Limits { recent_revisions_per_author_max: 1, ..limits() };
    let log: Arc<dyn Log> = Arc::new(open_log(MemoryFolder::default()));
    let whole = Arc::new(State::new(Arc::clone(&log), &limits));
    let state = Arc::new(
        State::load(Arc::clone(&log), open_index(&Disk::default(), &*log), &limits).unwrap(),
    );
    let follows = (1..USERS).map(|followee| (0, 0, followee));
    let posts = (0..POSTS as usize).map(|post| (2, 1 + post % (USERS - 1), 0));
    for (number, change) in follows.chain(posts).enumerate() {
        let event = event(&whole, number, change).unwrap();
        log.append(log.head(), vec![event.clone()]).unwrap();
        whole.apply(log.head(), &event).unwrap();
        state.apply(log.head(), &event).unwrap();
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
                write_index(&state, &*log, lag);
            }
        });
        let whole = reader(&whole);
        let whole =
            (whole.ask_blocking(&page).unwrap().items, missed(&whole.ask_blocking(&backlog)));
        let reader = reader(&state);
        while !writer.is_finished() {
            assert_eq!(reader.ask_blocking(&page).unwrap().items, whole.0);
            assert_eq!(missed(&reader.ask_blocking(&backlog)), whole.1);
        }
    });
}

/// Followers and followees are the two directions of the same graph, also for a user with thousands
/// of followers.
#[test]
fn followers_and_followees_agree() {
    let mut random = fastrand::Rng::with_seed(3);
    let log: Arc<dyn Log> = Arc::new(open_log(MemoryFolder::default()));
    let state = Arc::new(State::new(log, &Limits::default()));
    let star = user(0);
    let mut follows = BTreeSet::new();
    for revision in 1..12_000 {
        // Follows become rarer, and unfollows more frequent.
        let comes = random.u32(..12_000) > revision;
        let follower = random.usize(1..4_000);
        let change = |follower| match comes {
            true => Change::Follow { follower, followee: star.clone() },
            false => Change::Unfollow { follower, followee: star.clone(), since: None },
        };
        let changes = if comes { follows.insert(follower) } else { follows.remove(&follower) };
        if changes {
            let event = Event::new(Timestamp::default(), change(user(follower)));
            state.apply(Revision::new(state.applied().get() + 1), &event).unwrap();
        }
        if revision % 500 == 0 {
            assert_eq!(state.follower_count(&star), follows.len());
            let mut paged = Vec::new();
            loop {
                let page = state.followers(&star, paged.last(), random.usize(1..700));
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged.len(), follows.len());
            assert!(paged.iter().all(|follower| since(&state, follower, &star).is_some()));
            paged.sort();
            paged.dedup();
            assert_eq!(paged.len(), follows.len(), "no follower is listed twice");
        }
    }
}

/// The event of a drawn change, if it has an effect.
fn event(state: &State, number: usize, (kind, one, other): (u8, usize, usize)) -> Option<Event> {
    let (follower, followee) = (user(one), user(other));
    let follows = since(state, &follower, &followee).is_some();
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
    // Sixty events are a day, so request ids expire too.
    let time = Timestamp::from_nanos(number as u64 * 24 * 60 * 1_000_000_000);
    Some(Event::new(time, change))
}
