//! The rules of feeds, one by one. Pages, live streams and resumed streams follow the same rules.

use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Error};
use whimbrel::live::{Start, Watched};
use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, Relation, ReplyTo, Revision, Timestamp, UserId,
};
use whimbrel::query::{
    self, AuthorFeed, BacklogKind, FeedBacklog, FeedItem, HomeFeed, PagePosition,
};
use whimbrel::state::State;
use whimbrel::storage::{LocalLog, Log};

use crate::harness::core::{Core, FEED, post, user};
use crate::harness::reader::StreamReader;
use crate::harness::{LOG_OPTIONS, MemoryFolder};

/// The number of entries among which the original hides a repost.
const WINDOW: usize = 40;

/// A reply is in the feeds of those who follow both authors, of the author of the parent, and of
/// its own author. A reply in the author's own thread is in the feeds of all followers, and so is
/// every reply with `all_replies`.
#[tokio::test]
async fn replies_reach_those_who_follow_both_authors() {
    let core = Core::limited(|_| ());
    for (follower, followee) in [("alice", "bob"), ("carol", "bob"), ("carol", "dave")] {
        core.follow(follower, followee).await;
    }
    let start = core.engine().cursor();
    let all = Watched::Feed { all_replies: true };
    let mut live = [
        ("alice", FEED, StreamReader::live(&core, "alice", FEED).await),
        ("alice", all, StreamReader::live(&core, "alice", all).await),
        ("carol", FEED, StreamReader::live(&core, "carol", FEED).await),
        ("dave", FEED, StreamReader::live(&core, "dave", FEED).await),
    ];

    let of_dave = core.publish("dave", "of dave's").await.post.id();
    let of_bob = core.publish("bob", "of bob's").await.post.id();
    let of_alice = core.publish("alice", "of alice's").await.post.id();
    reply(&core, "bob", "to dave", of_dave).await;
    reply(&core, "bob", "to himself", of_bob).await;
    reply(&core, "bob", "to alice", of_alice).await;
    reply(&core, "dave", "back to bob", of_bob).await;
    let expected = [
        vec!["of bob's", "of alice's", "to himself", "to alice"],
        vec!["of bob's", "of alice's", "to dave", "to himself", "to alice"],
        vec!["of dave's", "of bob's", "to dave", "to himself", "back to bob"],
        vec!["of dave's", "back to bob"],
    ];
    for ((name, of, live), expected) in live.iter_mut().zip(expected) {
        let texts = |events: Vec<(u64, String)>| -> Vec<String> {
            events.iter().map(|(_, event)| event.split(": ").nth(1).unwrap().to_owned()).collect()
        };
        assert_eq!(texts(live.read_to_now(&core).await), expected, "{name} {of:?}");
        let mut resumed = StreamReader::open(core.engine(), name, *of, Start::After(start));
        assert_eq!(texts(resumed.read_backlog().await), expected, "{name} {of:?}");
        let mut page = page_texts(&core, name, *of == all, 100).await;
        page.reverse();
        assert_eq!(page, expected, "{name} {of:?}");
    }
}

/// A repost is hidden if the original is at most the 40th entry before it.
#[tokio::test]
async fn a_repost_is_hidden_by_the_forty_entries_before_it() {
    for between in [WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1] {
        let core = Core::limited(|_| ());
        core.follow("alice", "bob").await;
        core.follow("alice", "carol").await;
        let post = core.publish("bob", "the post").await.post.id();
        for number in 0..between {
            core.publish("carol", &format!("{number}")).await;
        }
        let start = core.engine().cursor();
        let mut live = StreamReader::live(&core, "alice", FEED).await;
        let reposted = repost(&core, "carol", post).await;
        let expected = match between < WINDOW {
            true => vec![],
            false => vec![(reposted.get(), format!("carol reposted {post:?}"))],
        };
        assert_eq!(live.read_to_now(&core).await, expected, "{between} entries between");
        let mut resumed = StreamReader::open(core.engine(), "alice", FEED, Start::After(start));
        assert_eq!(resumed.read_backlog().await, expected, "{between} entries between");
        let reposts = |feed: Vec<(u64, u64)>| feed.iter().filter(|(at, of)| at != of).count();
        // The window does not depend on the size of the page.
        for items_max in [1, 7, WINDOW, 100] {
            let feed = page_revisions(&core, "alice", items_max).await;
            assert_eq!(reposts(feed), expected.len(), "{between} between, {items_max} on a page");
        }
    }
}

/// Of two reposts of an old post the first is shown. When it is undone, pages show the second.
#[tokio::test]
async fn the_second_repost_is_hidden_by_the_first() {
    let core = Core::limited(|_| ());
    let post = core.publish("stranger", "the post").await.post.id();
    core.follow("alice", "bob").await;
    core.follow("alice", "carol").await;
    let start = core.engine().cursor();
    let mut live = StreamReader::live(&core, "alice", FEED).await;
    let first = repost(&core, "bob", post).await.get();
    let second = repost(&core, "carol", post).await.get();
    let original = post.revision().get();
    assert_eq!(page_revisions(&core, "alice", 1).await, [(first, original)]);
    assert_eq!(live.read_to_now(&core).await, [(first, format!("bob reposted {post:?}"))]);

    let undone = Relation::Repost(user("bob"), post);
    let undone = core.engine().set(undone, false).await.unwrap().revision.get();
    assert_eq!(page_revisions(&core, "alice", 1).await, [(second, original)]);
    let unreposted = (undone, format!("bob unreposted {post:?}"));
    assert_eq!(live.read_to_now(&core).await, std::slice::from_ref(&unreposted));
    // The undone repost hid the second when that was made, and a resumed stream agrees.
    let mut resumed = StreamReader::open(core.engine(), "alice", FEED, Start::After(start));
    assert_eq!(resumed.read_backlog().await, [unreposted]);
}

/// A deletion is delivered once to each follower of the author or of a reposter.
#[tokio::test]
async fn a_deletion_is_delivered_once_to_all_who_had_the_post() {
    let core = Core::limited(|_| ());
    for (follower, followee) in [("both", "author"), ("both", "reposter"), ("one", "reposter")] {
        core.follow(follower, followee).await;
    }
    let post = core.publish("author", "the post").await.post.id();
    repost(&core, "reposter", post).await;
    repost(&core, "author", post).await;
    let start = core.engine().cursor();
    let names = ["both", "one", "author", "reposter", "nobody"];
    let mut live = Vec::new();
    for name in names {
        live.push(StreamReader::live(&core, name, FEED).await);
    }
    let deleted = core.engine().delete(user("author"), post).await.unwrap().revision;
    for (name, mut live) in names.into_iter().zip(live) {
        let expected = match name {
            "nobody" => vec![],
            _ => vec![(deleted.get(), format!("deleted {post:?}"))],
        };
        assert_eq!(live.read_to_now(&core).await, expected, "{name}");
        let mut resumed = StreamReader::open(core.engine(), name, FEED, Start::After(start));
        assert_eq!(resumed.read_backlog().await, expected, "{name}");
        assert_eq!(page_revisions(&core, name, 10).await, [], "{name}");
    }
}

/// Blocks and mutes are delivered to all streams of the users between whom they are set.
#[tokio::test]
async fn blocks_and_mutes_are_delivered_to_every_stream() {
    let core = Core::limited(|_| ());
    core.follow("alice", "bob").await;
    let mut of_alice = [
        StreamReader::live(&core, "alice", FEED).await,
        StreamReader::live(&core, "alice", FEED).await,
    ];
    let mut notifications = StreamReader::live(&core, "alice", Watched::Notifications).await;
    let mut of_bob = StreamReader::live(&core, "bob", FEED).await;
    set(&core, Relation::Mute, "alice", "bob", true).await;
    core.publish("bob", "muted, @alice").await;
    set(&core, Relation::Mute, "alice", "bob", false).await;
    core.publish("bob", "heard, @alice").await;
    set(&core, Relation::Block, "bob", "alice", true).await;
    core.publish("bob", "blocked, @alice").await;
    set(&core, Relation::Block, "bob", "alice", false).await;
    core.publish("bob", "not followed, @alice").await;
    // A follow of a muted user adds no posts.
    set(&core, Relation::Mute, "alice", "bob", true).await;
    set(&core, Relation::Follow, "alice", "bob", true).await;
    core.publish("bob", "followed in silence").await;
    set(&core, Relation::Mute, "alice", "bob", false).await;
    core.publish("bob", "heard again").await;

    let texts = |events: Vec<(u64, String)>| events.into_iter().map(|it| it.1).collect::<Vec<_>>();
    let expected = [
        "-bob muted",
        "+bob",
        "bob: heard, @alice",
        "-bob blocked",
        "shown bob",
        "-bob muted",
        "+bob",
        "+bob",
        "bob: heard again",
    ];
    for stream in &mut of_alice {
        assert_eq!(texts(stream.read_to_now(&core).await), expected);
    }
    let events = texts(of_bob.read_to_now(&core).await);
    assert_eq!(events.iter().filter(|it| *it == "-alice blocked").count(), 1, "{events:?}");
    let expected = [
        "without bob, muted",
        "with bob again",
        "Mention by bob",
        "without bob, blocked",
        "Mention by bob",
        "without bob, muted",
    ];
    let events = texts(notifications.read_to_now(&core).await);
    // The mentions may be missing: whether they are hidden depends on when the stream reads them.
    assert!(events.iter().all(|event| expected.contains(&event.as_str())), "{events:?}");
}

/// The posts of one author, with and without replies and reposts. Users whom the author blocks are
/// refused.
#[tokio::test]
async fn the_posts_of_one_author() {
    let core = Core::limited(|_| ());
    let of_carol = core.publish("carol", "of carol's").await.post.id();
    let of_dave = core.publish("dave", "of dave's").await.post.id();
    let own = core.publish("bob", "own").await.post.id();
    reply(&core, "bob", "thread", own).await;
    reply(&core, "bob", "reply", of_carol).await;
    repost(&core, "bob", of_carol).await;
    repost(&core, "bob", of_dave).await;
    let gone = core.publish("bob", "gone").await.post.id();
    core.engine().delete(user("bob"), gone).await.unwrap();
    set(&core, Relation::Block, "dave", "alice", true).await;
    set(&core, Relation::Mute, "alice", "bob", true).await;
    let read = async |with_replies, with_reposts| -> Result<Vec<String>, Error> {
        let (viewer, author) = (user("alice"), user("bob"));
        let mut texts = Vec::new();
        let mut position = None;
        loop {
            let query = AuthorFeed {
                viewer: viewer.clone(),
                author: author.clone(),
                items_max: 2,
                position,
                with_replies,
                with_reposts,
            };
            let page = core.engine().ask(query).await?;
            texts.extend(page.items.iter().map(|it| it.post.post.content.text.as_str().to_owned()));
            position = page.next;
            if position.is_none() {
                return Ok(texts);
            }
        }
    };
    assert_eq!(read(false, false).await.unwrap(), ["own"]);
    assert_eq!(read(true, false).await.unwrap(), ["reply", "thread", "own"]);
    // The repost of a post of dave's is left out, as dave blocks the viewer.
    assert_eq!(read(true, true).await.unwrap(), ["of carol's", "reply", "thread", "own"]);
    set(&core, Relation::Block, "bob", "alice", true).await;
    assert!(matches!(read(true, true).await, Err(Error::Blocked { .. })));
}

/// Ten thousand hidden entries in a row are passed in bounded steps, and never on a worker thread.
#[test]
fn hidden_entries_are_passed_in_bounded_steps() {
    const HIDDEN: u64 = 10_000;

    let of_stranger =
        PostRef { id: PostId::from_revision(Revision::new(1)), author: user("stranger") };
    let to_stranger = ReplyTo { parent: of_stranger.clone(), root: of_stranger };
    let reply = || Content { reply_to: Some(Box::new(to_stranger.clone())), ..content("hidden") };
    let delete = |post| Change::Delete {
        post: PostRef { id: PostId::from_revision(Revision::new(post)), author: user("bob") },
        reply_to: None,
        quote: None,
        notified: Vec::new(),
    };
    let of_bob = |content| Change::Publish { author: user("bob"), content, request_id: None };
    let first = |number: u64| of_bob(content(&format!("seen {number}")));
    let mut changes = vec![
        Change::Publish { author: user("stranger"), content: content("first"), request_id: None },
        Change::Follow { follower: user("alice"), followee: user("bob") },
    ];
    changes.extend((0..3).map(first));
    let begin = changes.len() as u64;
    changes.extend((0..HIDDEN).map(|_| of_bob(reply())));
    changes.extend((0..HIDDEN).map(|_| of_bob(content("deleted"))));
    changes.extend((0..HIDDEN).map(|number| delete(begin + HIDDEN + number + 1)));
    changes.push(of_bob(content("last")));
    let state = state_of(&changes);

    let head = state.applied();
    let query = |before: Option<Revision>, items_max| HomeFeed {
        user: user("alice"),
        position: before.map(|before| PagePosition { before, at: head }),
        items_max,
        with_own: true,
        all_replies: false,
    };
    let first = query(None, 2);
    let reader = query::Reader::new(Arc::new(state), &limits());
    assert!(reader.ask_memory(&first).unwrap().is_none(), "memory answered a long read");
    // Each page passes a bounded number of entries.
    let (mut pages, mut next) = (Vec::new(), Some(Revision::MAX));
    while let Some(before) = next {
        let page = reader.ask_blocking(&query(Some(before), 2)).unwrap();
        next = page.next.map(|next| next.before);
        assert!(next.is_none_or(|next| next < before), "a page without progress");
        pages.push(page.items.iter().map(|item| item.revision.get()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![head.get()], vec![], vec![], vec![5, 4], vec![3]]);

    // So does each read of a stream.
    let (mut delivered, mut after, mut reads) = (Vec::new(), Revision::new(begin), 0);
    while after < head {
        let query = FeedBacklog {
            user: user("alice"),
            all_replies: false,
            after,
            until: head,
            kind: BacklogKind::Items,
            events_max: 256,
        };
        let from_memory = reader.ask_memory(&query).unwrap();
        assert!(reads > 0 || from_memory.is_none(), "memory answered a long read");
        let backlog = reader.ask_blocking(&query).unwrap();
        delivered.extend(backlog.events.into_iter().map(|entry| entry.revision));
        assert!(backlog.reached > after, "a read without progress");
        after = backlog.reached;
        reads += 1;
    }
    assert_eq!(delivered, [head]);
    assert!(reads > 1, "one read passed all entries");
}

fn limits() -> Limits {
    Limits { post_cache_bytes_max: 1 << 12, ..Limits::default() }
}

/// A state of these changes, with all records but the contents of posts in memory.
fn state_of(changes: &[Change]) -> State {
    let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let state = State::new(Arc::clone(&log), &limits());
    for changes in changes.chunks(5_000) {
        let event = |change: &Change| Event::new(Timestamp::default(), change.clone());
        let events: Vec<_> = changes.iter().map(event).collect();
        log.append(log.head(), events.clone()).unwrap();
        for event in events {
            state.apply(state.applied().next(), &event).unwrap();
        }
    }
    state
}

fn content(text: &str) -> Content {
    Content::from_text(post(text))
}

async fn reply(core: &Core, author: &str, text: &str, to: PostId) -> PostId {
    let draft = Draft { reply_to: Some(to), ..Draft::from(post(text)) };
    core.engine().publish(user(author), draft, None).await.unwrap().post.id()
}

async fn repost(core: &Core, name: &str, post: PostId) -> Revision {
    core.engine().set(Relation::Repost(user(name), post), true).await.unwrap().revision
}

/// Sets or ends a relation between two users.
async fn set(
    core: &Core,
    relation: fn(UserId, UserId) -> Relation,
    one: &str,
    other: &str,
    on: bool,
) {
    core.engine().set(relation(user(one), user(other)), on).await.unwrap();
}

/// The texts of a feed, newest first.
async fn page_texts(core: &Core, name: &str, all_replies: bool, items_max: usize) -> Vec<String> {
    let (user, position) = (user(name), None);
    let query = HomeFeed { user, items_max, position, with_own: true, all_replies };
    let page = core.engine().ask(query).await.unwrap();
    page.items.iter().map(|item| item.post.post.content.text.as_str().to_owned()).collect()
}

/// A whole feed, newest first: the revision of each entry, and of its post.
async fn page_revisions(core: &Core, name: &str, items_max: usize) -> Vec<(u64, u64)> {
    let mut revisions = Vec::new();
    let mut position: Option<PagePosition> = None;
    loop {
        let (with_own, all_replies) = (true, false);
        let query = HomeFeed { user: user(name), items_max, position, with_own, all_replies };
        let page = core.engine().ask(query).await.unwrap();
        let item = |item: &FeedItem| (item.revision.get(), item.post.post.revision.get());
        assert!(page.next.is_none() || page.items.len() == items_max, "a page that is not full");
        revisions.extend(page.items.iter().map(item));
        position = page.next;
        if position.is_none() {
            return revisions;
        }
    }
}
