//! The server encodes the messages of live feeds by its own type. On the wire they equal the public
//! messages.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use whimbrel::api::shared_response::SharedFeedResponse;
use whimbrel::api::v1::WatchFeedResponse;
use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::watch_feed_response::Kind as PublicKind;
use whimbrel::live::{EventBatch, FeedEvent, FeedEventKind, Removal, StandIn, StreamMessage};
use whimbrel::model::{
    Content, Cursor, CursorError, Epoch, EpochStart, Epochs, Facet, Facets, Feature, Link, LogId,
    Post, PostText, Revision, Tag, Timestamp, UserId,
};

fn epochs() -> Epochs {
    Epochs::new([EpochStart { first: Revision::new(1), epoch: Epoch::new(77) }])
}

/// Every message decodes as the public type, and encodes back to the same bytes. Encoding it again,
/// with its events as shared bytes, changes nothing.
#[test]
fn shared_responses_are_the_public_messages_byte_by_byte() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        for step in steps(&mut random, round) {
            let mut bytes = Vec::new();
            let response = SharedFeedResponse::from_message(step.clone(), &epochs());
            response.encode(&mut bytes).unwrap();
            assert_eq!(response.encoded_len(), bytes.len());
            let public = WatchFeedResponse::decode(bytes.as_slice()).unwrap();
            assert_eq!(public.encode_to_vec(), bytes, "{step:?}");
            let mut again = Vec::new();
            SharedFeedResponse::from_message(step, &epochs()).encode(&mut again).unwrap();
            assert_eq!(again, bytes);
        }
    }
}

/// A batch has the events that it was made from.
#[test]
fn a_batch_has_its_events() {
    let id = |name: &str| UserId::parse(name).unwrap();
    let post = post(3, "alice", "hello");
    let bob = || id("bob");
    let event = |revision, kind| Arc::new(FeedEvent::new(Revision::new(revision), kind));
    let events = vec![
        event(3, FeedEventKind::Posted(Arc::clone(&post))),
        event(4, FeedEventKind::AuthorAdded(bob())),
        event(5, FeedEventKind::AuthorRemoved { author: bob(), reason: Removal::Mute }),
        event(6, FeedEventKind::Reposted { post: Arc::clone(&post), by: bob() }),
        event(
            7,
            FeedEventKind::Unreposted {
                post: post.id(),
                by: bob(),
                repost: None,
                stand_in: Some(Box::new(StandIn {
                    revision: Revision::new(6),
                    post: Arc::clone(&post),
                    by: bob(),
                })),
            },
        ),
        event(8, FeedEventKind::Deleted(post.id())),
    ];
    let at = |revision| Cursor::after(LogId::new(9), Revision::new(revision));
    let mut bytes = Vec::new();
    let step = StreamMessage::Batch {
        prev: at(2),
        cursor: at(8),
        events: Arc::new(EventBatch::new(events)),
    };
    SharedFeedResponse::from_message(step, &epochs()).encode(&mut bytes).unwrap();

    let Some(PublicKind::Batch(batch)) = WatchFeedResponse::decode(bytes.as_slice()).unwrap().kind
    else {
        panic!("no batch");
    };
    let events: Vec<String> = batch
        .events
        .iter()
        .map(|event| match event.change.as_ref().unwrap() {
            Change::Posted(posted) => {
                let post = posted.item.as_ref().unwrap().post.as_ref().unwrap();
                format!("{} {}: {}", event.revision, post.author_id, post.text)
            }
            Change::AuthorAdded(added) => format!("{} +{}", event.revision, added.author_id),
            Change::AuthorRemoved(removed) => {
                format!("{} -{} {:?}", event.revision, removed.author_id, removed.reason())
            }
            Change::Reposted(reposted) => {
                let item = reposted.item.as_ref().unwrap();
                assert_eq!(item.revision, event.revision);
                format!("{} repost: {}", event.revision, item.post.as_ref().unwrap().text)
            }
            Change::Unreposted(it) => format!("{} {} {}", event.revision, it.user_id, it.post_id),
            Change::Deleted(deleted) => format!("{} no {}", event.revision, deleted.post_id),
            Change::AuthorShown(shown) => format!("{} shown {}", event.revision, shown.author_id),
        })
        .collect();
    let expected = [
        "3 alice: hello",
        "4 +bob",
        "5 -bob Mute",
        "6 repost: hello",
        "7 bob p3xfbbbb",
        "8 no p3xfbbbb",
    ];
    assert_eq!(events, expected);
}

fn steps(random: &mut fastrand::Rng, round: u64) -> Vec<StreamMessage> {
    let cursor = |random: &mut fastrand::Rng| Cursor {
        log: LogId::new(random.u64(..)),
        after: Revision::new(random.u64(..)),
        snapshot_until: Revision::new(if random.bool() { 0 } else { random.u64(..) }),
    };
    let events = (1..=random.u64(1..20))
        .map(|number| {
            let author = format!("a{}", "x".repeat(random.usize(..100)));
            let text = "\u{1f426}é x".repeat(random.usize(1..40));
            let revision = round * 20 + number;
            let bob = UserId::parse("b").unwrap();
            let post = post(revision, &author, &text);
            let kind = match number % 5 {
                0 => FeedEventKind::AuthorAdded(bob),
                1 => FeedEventKind::Reposted { post, by: bob },
                _ => FeedEventKind::Posted(post),
            };
            Arc::new(FeedEvent::new(Revision::new(revision), kind))
        })
        .collect();
    let (a, b) = (cursor(random), cursor(random));
    vec![
        StreamMessage::Opened {
            cursor: a,
            head: b,
            heartbeat: Duration::from_millis(random.u64(..100_000)),
        },
        StreamMessage::Reset { reason: CursorError::TooOld { oldest: a }, oldest: b },
        StreamMessage::Batch { prev: a, cursor: b, events: Arc::new(EventBatch::new(events)) },
        StreamMessage::CaughtUp { cursor: a },
        StreamMessage::Bookmark { cursor: b },
        StreamMessage::Closing { cursor: a },
    ]
}

/// One facet of every kind, if the text is long enough.
fn facets(text: &PostText) -> Facets {
    let features = [
        Feature::Mention(UserId::parse("auth0|1").unwrap()),
        Feature::Tag(Tag::parse("birds").unwrap()),
        Feature::Link(Link::parse("https://example.org/").unwrap()),
    ];
    let offsets: Vec<_> = text.as_str().char_indices().map(|(at, _)| at).collect();
    let facet = |(range, feature): (&[usize], _)| Facet { start: range[0], end: range[1], feature };
    let all = offsets.chunks_exact(2).zip(features).map(facet);
    Facets::from_author(text, all.collect()).unwrap()
}

fn post(revision: u64, author: &str, text: &str) -> Arc<Post> {
    let text = PostText::parse(text).unwrap();
    let author = UserId::parse(author).unwrap();
    let content = Content { facets: facets(&text), ..Content::from_text(text) };
    let time = Timestamp::from_nanos(revision * 1_000_000_007);
    Arc::new(Post::new(Revision::new(revision), author, content, time))
}
