//! The dispatcher, step by step and without threads: readers that come and go, fan-outs that take
//! several steps, and changes that overtake them.

mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use simulation::{Simulation, follow, id, publish};
use whimbrel::live::{LiveStream, Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Change, Content};

use crate::harness::core::{FEED, post, step};
use crate::harness::events::in_short;

const USERS: usize = 9;
const STAR: usize = 0;

/// In any order of changes, of readers that come and go, and of the dispatcher's steps, each reader
/// gets exactly the events of its feed, in order. The channels are never overrun, so no event is
/// read from the log.
#[tokio::test]
async fn every_reader_gets_its_feed_in_order() {
    for seed in 0..150 {
        let mut simulation = Simulation::new(seed, |limits| {
            limits.fan_out_step_feeds_max = 1 + seed as usize % 3;
            limits.active_fan_outs_max = 1 + seed as usize % 4;
        });
        for _ in 0..120 {
            simulation.take_random_step().await;
        }
        simulation.settle().await;
    }
}

/// The same when delivery batches are lost on their way to the dispatcher at any time: the lost
/// events are read from the log, and no other event is missing or repeated.
#[tokio::test]
async fn a_lagging_shard_misses_no_event() {
    for seed in 0..60 {
        let mut simulation = Simulation::new(seed, |limits| {
            limits.fan_out_step_feeds_max = 1 + seed as usize % 3;
            limits.active_fan_outs_max = 1 + seed as usize % 4;
        });
        simulation.loses_batches = true;
        for _ in 0..120 {
            simulation.take_random_step().await;
        }
        simulation.settle().await;
        // From then on events are delivered at once again.
        for _ in 0..3 {
            simulation.change(publish(STAR));
            simulation.hand_over();
            while simulation.dispatcher.step() {}
            simulation.settle().await;
        }
    }
}

/// A bookmark is never ahead of events that a stream of a lagging shard has not read yet.
#[tokio::test]
async fn a_bookmark_waits_for_lost_events() {
    let mut simulation = Simulation::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    let options = WatchOptions { of: FEED, heartbeat: Duration::ZERO, reset_items: None };
    for reader in [1, 3, 4, 5] {
        simulation.open(reader).await;
    }
    let mut last = simulation.live.watch(&id(2), Start::Now, options).unwrap();
    while !matches!(step(&mut last).await, StreamMessage::CaughtUp { .. }) {}
    simulation.change(follow(2, STAR));
    simulation.change(publish(STAR));
    simulation.lose();
    let posted = simulation.state.applied();
    // Each step brings one feed up to date. The last reader's feed is not among the first three.
    for _ in 0..3 {
        assert!(simulation.dispatcher.step());
        let StreamMessage::Bookmark { cursor } = step(&mut last).await else {
            panic!("delivered too early")
        };
        assert!(cursor.after < posted.previous(), "a bookmark ahead of unread events");
    }
    while simulation.dispatcher.step() {}
    let StreamMessage::Batch { events, .. } = step(&mut last).await else {
        panic!("no event was lost")
    };
    let delivered: Vec<_> = events.iter().map(|event| in_short(event).1).collect();
    assert_eq!(delivered, ["+user0", "user0: a post"]);
}

/// Whoever polled a stream last is woken, and by each event: a stream may move to another task, and
/// another stream of the same feed does not take its wake-up away.
#[tokio::test]
async fn the_task_that_polled_last_is_woken() {
    let mut simulation = Simulation::new(0, |_| {});
    let mut streams: Vec<_> = (0..2)
        .map(|_| {
            let options =
                WatchOptions { of: FEED, heartbeat: Duration::from_secs(20), reset_items: None };
            simulation.live.watch(&id(STAR), Start::Now, options).unwrap()
        })
        .collect();
    for stream in &mut streams {
        while !matches!(step(stream).await, StreamMessage::CaughtUp { .. }) {}
    }
    let tasks: [Arc<Wakes>; 3] = Default::default();
    let polls = [(0, 0), (0, 1), (1, 2)];
    for (stream, task) in polls {
        assert!(is_waiting(&mut streams[stream], &tasks[task]));
    }
    for post in 1..=3 {
        simulation.change(publish(STAR));
        simulation.hand_over();
        while simulation.dispatcher.step() {}
        let woken = tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, post, post]);
        for (stream, task) in &polls[1..] {
            assert!(!is_waiting(&mut streams[*stream], &tasks[*task]), "it has the post");
            assert!(is_waiting(&mut streams[*stream], &tasks[*task]));
        }
    }
    drop(streams.remove(0));
    simulation.change(publish(STAR));
    simulation.hand_over();
    while simulation.dispatcher.step() {}
    assert_eq!(tasks[1].0.load(Ordering::Relaxed), 3, "nobody waits there any more");
}

/// A task that counts how often it is woken.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_waiting(stream: &mut LiveStream, task: &Arc<Wakes>) -> bool {
    let waker = Waker::from(Arc::clone(task));
    stream.poll_next(&mut Context::from_waker(&waker)).is_pending()
}

/// A post to few followers overtakes a post to many, but no feed gets the two out of order.
#[tokio::test]
async fn a_post_to_few_overtakes_a_post_to_many() {
    let mut simulation = Simulation::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    for follower in 1..USERS {
        simulation.change(follow(follower, STAR));
    }
    let last = USERS - 1;
    simulation.change(follow(last, 1));
    let mut readers = Vec::new();
    for reader in 2..USERS {
        readers.push(simulation.open(reader).await);
    }
    simulation.settle().await;

    simulation.change(publish(STAR));
    simulation.change(publish(1));
    simulation.hand_over();
    simulation.dispatcher.step();
    assert!(simulation.dispatcher.step(), "the first post has not reached all feeds");
    let mut delivered = Vec::new();
    for reader in readers {
        delivered.push(simulation.readers[reader].read().await.len());
    }
    assert!(delivered.contains(&0), "the fan-out of the first post is still active: {delivered:?}");
    assert_eq!(delivered.last(), Some(&2), "the reader of both has both: {delivered:?}");
    simulation.settle().await;
}

/// In an endless series of posts to many followers, every fan-out ends.
#[tokio::test]
async fn every_fan_out_ends() {
    let mut simulation = Simulation::new(0, |limits| {
        limits.fan_out_step_feeds_max = 2;
        limits.active_fan_outs_max = 2;
    });
    for follower in 1..USERS {
        simulation.change(follow(follower, STAR));
    }
    let reader = simulation.open(USERS - 1).await;
    for reader in 1..USERS - 1 {
        simulation.open(reader).await;
    }
    simulation.settle().await;
    for round in 0..20 {
        simulation.change(publish(STAR));
        simulation.hand_over();
        for _ in 0..USERS {
            simulation.dispatcher.step();
        }
        assert_eq!(simulation.readers[reader].read().await.len(), 1, "in round {round}");
    }
    simulation.settle().await;
}

/// A follow is dispatched after its stream has closed, after an unfollow that no stream saw, and
/// after another stream has opened. It does not bring the author back.
#[tokio::test]
async fn a_late_follow_does_not_undo_an_unfollow() {
    let mut simulation = Simulation::new(0, |_| ());
    let first = simulation.open(1).await;
    simulation.change(follow(1, STAR));
    simulation.readers[first].stream = None;
    simulation.change(Change::Unfollow { follower: id(1), followee: id(STAR), since: None });
    let second = simulation.open(1).await;
    simulation.settle().await;
    simulation.change(publish(STAR));
    simulation.settle().await;
    assert_eq!(simulation.readers[second].seen, []);
}

/// A bookmark is never ahead of a post whose fan-out has not reached the reader.
#[tokio::test]
async fn a_bookmark_waits_for_an_active_fan_out() {
    let mut simulation = Simulation::new(0, |limits| limits.fan_out_step_feeds_max = 1);
    for follower in 1..USERS {
        simulation.change(follow(follower, STAR));
    }
    for reader in 1..USERS - 1 {
        simulation.open(reader).await;
    }
    let options = WatchOptions { of: FEED, heartbeat: Duration::ZERO, reset_items: None };
    let mut last = simulation.live.watch(&id(USERS - 1), Start::Now, options).unwrap();
    while !matches!(step(&mut last).await, StreamMessage::CaughtUp { .. }) {}
    simulation.change(publish(STAR));
    let post = simulation.state.applied();
    simulation.hand_over();
    assert!(simulation.dispatcher.step());
    let mut bookmarks = 0;
    loop {
        match step(&mut last).await {
            StreamMessage::Batch { events, .. } => {
                assert_eq!(events[0].revision, post);
                break;
            }
            StreamMessage::Bookmark { cursor } => {
                assert!(cursor.after < post, "a bookmark ahead of unsent events");
                bookmarks += 1;
            }
            _ => {}
        }
        if bookmarks >= 3 {
            simulation.settle().await;
        }
    }
    assert!(bookmarks >= 3, "{bookmarks}");
}

/// When a change is an event of two feeds and only one has got it, the bookmarks of the other wait.
#[tokio::test]
async fn a_bookmark_waits_for_the_rest_of_a_change() {
    let mut simulation = Simulation::new(0, |limits| limits.active_fan_outs_max = 1);
    simulation.open(1).await;
    let of = Watched::Notifications;
    let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
    let mut mentioned = simulation.live.watch(&id(2), Start::Now, options).unwrap();
    while !matches!(step(&mut mentioned).await, StreamMessage::CaughtUp { .. }) {}
    let mentioned_user = [id(2)].into();
    let content = Content { mentioned: mentioned_user, ..Content::from_text(post("hello @user2")) };
    simulation.change(Change::Publish { author: id(1), content, request_id: None });
    simulation.hand_over();
    assert!(simulation.dispatcher.step(), "both feeds were served in one step");
    let StreamMessage::Bookmark { cursor } = step(&mut mentioned).await else {
        panic!("delivered too early")
    };
    assert!(cursor.after < simulation.state.applied(), "a bookmark ahead of unsent events");
    simulation.settle().await;
    assert!(matches!(step(&mut mentioned).await, StreamMessage::Batch { .. }));
}
