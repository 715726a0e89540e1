//! What holds under each flood on any machine: good calls are answered, memory is bounded, and who
//! must be closed is, with the right code.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::answers::asks_for_pages;
use crate::attackers::Attackers;
use crate::callers::Callers;
use crate::floods::{FLOODS, Flood};
use crate::raw::{
    DATA, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, Windows, frame, grpc_frame,
};
use crate::target::{Serves, Target};

/// How long each flood lasts: long enough for some calls of each caller.
const FLOOD_TIME: Duration = Duration::from_millis(1_500);
/// What a flood may add to a server's memory: the limits of unfinished requests and unsent answers,
/// each half as much again for what the allocator keeps.
const MEMORY_MIB_MAX: u64 = (128 + 256) * 3 / 2;
/// More than a connection may send at once.
const FRAMES: usize = 10_000;
/// No wait takes so long unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Under every flood the well-behaved are answered, and memory is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_calls_are_answered_under_every_flood() {
    for serves in [Serves::Anybody, Serves::Tokens, Serves::Tls, Serves::FewFiles] {
        good_calls_are_answered(serves).await;
    }
}

async fn good_calls_are_answered(serves: Serves) {
    let target = Target::start(serves).await;
    let callers = Callers::connect(&target, 10, 50).await;
    // Tokens that were accepted once are accepted whatever others send from the same address.
    let ((), noticed) = callers.call_during(async {}).await;
    assert!(noticed.refused.is_empty(), "{:?}", noticed.refused);
    let before = target.memory_mib();
    for flood in FLOODS.iter().filter(|flood| flood.serves == serves) {
        target.prepare();
        let flooding = async {
            let _attackers = Attackers::start(*flood, target.attacked());
            sleep(FLOOD_TIME).await;
        };
        let during = target.memory_mib_during(callers.call_during(flooding));
        let (((), noticed), most) = timeout(PATIENCE, during).await.expect(flood.name);
        assert!(noticed.refused.is_empty(), "{}: {:?}", flood.name, noticed.refused);
        assert!(noticed.answered() >= 10, "{}: {} answers", flood.name, noticed.answered());
        let added = most.saturating_sub(before);
        println!("{}: {} answers, {added} MiB more", flood.name, noticed.answered());
        assert!(added < MEMORY_MIB_MAX, "{}: {before} MiB become {most}", flood.name);
    }
    let log = target.logged();
    assert!(log.lines().count() < 60, "a flood fills the log: {log}");
}

/// Whoever sends frames that carry nothing is closed with the code that says so.
#[tokio::test]
async fn frames_that_carry_nothing_close_the_connection() {
    let target = Target::start(Serves::Anybody).await;
    let empty: [(&str, Vec<u8>); 6] = [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        ("unknown", frame(0xbb, 0, 0, &[])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("acknowledged PING", frame(PING, 1, 0, &[0; 8])),
    ];
    for (name, one) in empty {
        let raw = Raw::connect(target.address(), Windows::Closed).await.expect("it listens");
        let closed = timeout(PATIENCE, raw.send_and_stay(&one.repeat(FRAMES))).await;
        assert_eq!(closed.expect(name), Some(ENHANCE_YOUR_CALM), "{name}");
    }
}

/// An honest client sends such frames in proportion to its calls, and is never closed for it.
#[tokio::test]
async fn frames_in_proportion_to_calls_are_fine() {
    let target = Target::start(Serves::Anybody).await;
    let mut raw = Raw::connect(target.address(), Windows::Small).await.expect("it listens");
    let request =
        whimbrel::api::v1::NewsFeedRequest { user_id: "nobody".to_owned(), ..Default::default() };
    // The answers are as small as they get, and so many that what calls earn is needed, and what the
    // server's bytes earn as well: without either, more than 4,096 frames would be missing.
    for _ in 0..6_000 {
        let stream = raw.add_call(crate::floods::NEWS_FEED, &[], 0);
        raw.add(&frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 0]));
        raw.add(&frame(DATA, END_STREAM, stream, &grpc_frame(&request)));
        raw.send().await.expect("the connection is open");
        let ended = raw.read_until(|kind, flags, of, _| {
            let ends = kind == HEADERS && flags & END_STREAM != 0;
            (of == stream && ends).then_some(())
        });
        timeout(PATIENCE, ended).await.expect("an answer").expect("the connection is open");
        // As gRPC does for each DATA frame: a window for the stream and the connection, and a PING.
        raw.add(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]));
        raw.add(&frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 9]));
        raw.add(&frame(PING, 0, 0, &[0; 8]));
        raw.add(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
}

/// Answers that nobody takes: the connection does not get more than its share of memory, and is
/// closed when it has taken nothing for the stall limit, while another one is served.
#[tokio::test]
async fn answers_that_nobody_takes_are_few() {
    let target = Target::start(Serves::Anybody).await;
    let callers = Callers::connect(&target, 2, 20).await;
    let before = target.memory_mib();
    let attack = async {
        let mut open = Vec::new();
        for _ in 0..10 {
            open.push(asks_for_pages(target.address(), Windows::Closed).await.expect("it listens"));
        }
        sleep(FLOOD_TIME).await;
        open
    };
    let (_open, noticed) = callers.call_during(attack).await;
    assert!(noticed.refused.is_empty(), "{:?}", noticed.refused);
    let added = target.memory_mib().saturating_sub(before);
    // An eighth of 64 MiB each; before there was a limit it was 330 MiB each.
    assert!(added < 10 * 8 * 2 + 64, "{added} MiB for 10 connections");
}

/// Requests whose message never comes take no slot of a call, and end in time.
#[tokio::test]
async fn calls_without_a_message_take_no_slot() {
    let target = Target::start(Serves::Anybody).await;
    let callers = Callers::connect(&target, 4, 40).await;
    let flood = Flood::named("bodies that never come");
    let flooding = async {
        let _attackers = Attackers::start(flood, target.attacked());
        // Longer than a request may take, so that some of them end.
        sleep(Duration::from_secs(6)).await;
    };
    let ((), noticed) = callers.call_during(flooding).await;
    assert!(noticed.refused.is_empty(), "{:?}", noticed.refused);
    assert!(noticed.answered() > 100, "{} answers", noticed.answered());
}
