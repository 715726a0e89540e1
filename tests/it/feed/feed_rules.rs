//! Each rule of feeds by itself: pages, live streams and resumed streams go by the same.

use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Error};
use whimbrel::live::{Start, Watched};
use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, ReplyTo, Revision, Timestamp, UserId,
};
use whimbrel::query::{self, BacklogKind, FeedBacklog, PagePosition};
use whimbrel::query::{AuthorFeed, HomeFeed};
use whimbrel::state::State;
use whimbrel::storage::{LocalLog, Log, StorageOptions};

use crate::harness::Disk;
use crate::harness::core::{Core, FEED, post, user};
use crate::harness::reader::Reader;
use crate::oracle::relations::{EdgeKind, ReactionKind, SetRelation};

/// The entries of a feed that other entries hide reposts in.
const WINDOW: usize = 40;

/// A reply is seen by those who follow both, by whom it answers, and by its author; as the author's
/// own thread it is seen by all who follow them; and by all of those who ask for all.
#[tokio::test]
async fn replies_go_to_whom_they_concern() {
    let core = Core::limited(|_| ());
    for (follower, followee) in [("alice", "bob"), ("carol", "bob"), ("carol", "dave")] {
        core.follow(follower, followee).await;
    }
    let start = core.engine().cursor();
    let all = Watched::Feed { all_replies: true };
    let mut live = [
        ("alice", FEED, Reader::live(&core, "alice", FEED).await),
        ("alice", all, Reader::live(&core, "alice", all).await),
        ("carol", FEED, Reader::live(&core, "carol", FEED).await),
        ("dave", FEED, Reader::live(&core, "dave", FEED).await),
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
        let texts = |told: Vec<(u64, String)>| -> Vec<String> {
            told.iter().map(|(_, told)| told.split(": ").nth(1).unwrap().to_owned()).collect()
        };
        assert_eq!(texts(live.told_by_now(&core).await), expected, "{name} {of:?}");
        let mut resumed = Reader::open(core.engine(), name, *of, Start::After(start));
        assert_eq!(texts(resumed.told_missed().await), expected, "{name} {of:?}");
        let mut page = page_texts(&core, name, *of == all, 100).await;
        page.reverse();
        assert_eq!(page, expected, "{name} {of:?}");
    }
}

/// A repost is left out while the post is the 40th entry before it, and not any more when it is the
/// 41st.
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
        let mut live = Reader::live(&core, "alice", FEED).await;
        let repost = react(&core, ReactionKind::Repost, "carol", post).await;
        let expected = match between < WINDOW {
            true => vec![],
            false => vec![(repost.get(), format!("carol reposted {post}"))],
        };
        assert_eq!(live.told_by_now(&core).await, expected, "{between} entries between");
        let mut resumed = Reader::open(core.engine(), "alice", FEED, Start::After(start));
        assert_eq!(resumed.told_missed().await, expected, "{between} entries between");
        let reposts = |feed: Vec<(u64, u64)>| feed.iter().filter(|(at, of)| at != of).count();
        // A page of one looks as far as one of all.
        for items_max in [1, 7, WINDOW, 100] {
            let feed = page_places(&core, "alice", items_max).await;
            assert_eq!(reposts(feed), expected.len(), "{between} between, {items_max} on a page");
        }
    }
}

/// Of two reposts of an old post the first is seen; when it is taken back, pages show the other.
#[tokio::test]
async fn the_second_repost_is_hidden_by_the_first() {
    let core = Core::limited(|_| ());
    let post = core.publish("stranger", "the post").await.post.id();
    core.follow("alice", "bob").await;
    core.follow("alice", "carol").await;
    let start = core.engine().cursor();
    let mut live = Reader::live(&core, "alice", FEED).await;
    let first = react(&core, ReactionKind::Repost, "bob", post).await.get();
    let second = react(&core, ReactionKind::Repost, "carol", post).await.get();
    let place = post.revision().get();
    assert_eq!(page_places(&core, "alice", 1).await, [(first, place)]);
    assert_eq!(live.told_by_now(&core).await, [(first, format!("bob reposted {post}"))]);

    let undone = react(&core, ReactionKind::Unrepost, "bob", post).await.get();
    assert_eq!(page_places(&core, "alice", 1).await, [(second, place)]);
    let told = (undone, format!("bob unreposted {post}"));
    assert_eq!(live.told_by_now(&core).await, std::slice::from_ref(&told));
    // The repost that is gone hid the other when that was made, and hides it still.
    let mut resumed = Reader::open(core.engine(), "alice", FEED, Start::After(start));
    assert_eq!(resumed.told_missed().await, [told]);
}

/// A deletion is told once to those who follow the author and somebody who reposted it, and to
/// those who follow only the latter.
#[tokio::test]
async fn a_deletion_is_told_once_to_all_whom_it_concerns() {
    let core = Core::limited(|_| ());
    for (follower, followee) in [("both", "author"), ("both", "reposter"), ("one", "reposter")] {
        core.follow(follower, followee).await;
    }
    let post = core.publish("author", "the post").await.post.id();
    react(&core, ReactionKind::Repost, "reposter", post).await;
    react(&core, ReactionKind::Repost, "author", post).await;
    let start = core.engine().cursor();
    let names = ["both", "one", "author", "reposter", "nobody"];
    let mut live = Vec::new();
    for name in names {
        live.push(Reader::live(&core, name, FEED).await);
    }
    let deleted = core.engine().delete(user("author"), post).await.unwrap().revision;
    for (name, mut live) in names.into_iter().zip(live) {
        let expected = match name {
            "nobody" => vec![],
            _ => vec![(deleted.get(), format!("deleted {post}"))],
        };
        assert_eq!(live.told_by_now(&core).await, expected, "{name}");
        let mut resumed = Reader::open(core.engine(), name, FEED, Start::After(start));
        assert_eq!(resumed.told_missed().await, expected, "{name}");
        assert_eq!(page_places(&core, name, 10).await, [], "{name}");
    }
}

/// Blocks and mutes show at once on all streams of those whom they concern.
#[tokio::test]
async fn blocks_and_mutes_show_on_every_stream() {
    use EdgeKind::{Block, Follow, Mute, Unblock, Unmute};

    let core = Core::limited(|_| ());
    core.follow("alice", "bob").await;
    let mut of_alice =
        [Reader::live(&core, "alice", FEED).await, Reader::live(&core, "alice", FEED).await];
    let mut beside = Reader::live(&core, "alice", Watched::Notifications).await;
    let mut of_bob = Reader::live(&core, "bob", FEED).await;
    let edge = async |kind, one, other| {
        core.engine().change_edge(kind, user(one), user(other)).await.unwrap();
    };
    edge(Mute, "alice", "bob").await;
    core.publish("bob", "muted, @alice").await;
    edge(Unmute, "alice", "bob").await;
    core.publish("bob", "heard, @alice").await;
    edge(Block, "bob", "alice").await;
    core.publish("bob", "blocked, @alice").await;
    edge(Unblock, "bob", "alice").await;
    core.publish("bob", "not followed, @alice").await;
    // Whoever is muted is followed in silence.
    edge(Mute, "alice", "bob").await;
    edge(Follow, "alice", "bob").await;
    core.publish("bob", "followed in silence").await;
    edge(Unmute, "alice", "bob").await;
    core.publish("bob", "heard again").await;

    let texts = |told: Vec<(u64, String)>| told.into_iter().map(|it| it.1).collect::<Vec<_>>();
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
        assert_eq!(texts(stream.told_by_now(&core).await), expected);
    }
    let told = texts(of_bob.told_by_now(&core).await);
    assert_eq!(told.iter().filter(|told| *told == "-alice blocked").count(), 1, "{told:?}");
    let expected = [
        "without bob, muted",
        "with bob again",
        "Mention by bob",
        "without bob, blocked",
        "Mention by bob",
        "without bob, muted",
    ];
    let told = texts(beside.told_by_now(&core).await);
    // What was heard before the block, or is hidden when it is read, is not told.
    assert!(told.iter().all(|told| expected.contains(&told.as_str())), "{told:?}");
}

/// What one author published, with and without replies and reposts; not to whom they block.
#[tokio::test]
async fn the_posts_of_one_author() {
    let core = Core::limited(|_| ());
    let of_carol = core.publish("carol", "of carol's").await.post.id();
    let of_dave = core.publish("dave", "of dave's").await.post.id();
    let own = core.publish("bob", "own").await.post.id();
    reply(&core, "bob", "thread", own).await;
    reply(&core, "bob", "reply", of_carol).await;
    react(&core, ReactionKind::Repost, "bob", of_carol).await;
    react(&core, ReactionKind::Repost, "bob", of_dave).await;
    let gone = core.publish("bob", "gone").await.post.id();
    core.engine().delete(user("bob"), gone).await.unwrap();
    let edge = async |kind, one, other| {
        core.engine().change_edge(kind, user(one), user(other)).await.unwrap();
    };
    edge(EdgeKind::Block, "dave", "alice").await;
    edge(EdgeKind::Mute, "alice", "bob").await;
    let read = async |with_replies, with_reposts| -> Result<Vec<String>, Error> {
        let (viewer, author) = (user("alice"), user("bob"));
        let mut texts = Vec::new();
        let mut place = None;
        loop {
            let query = AuthorFeed {
                viewer: viewer.clone(),
                author: author.clone(),
                items_max: 2,
                position: place,
                with_replies,
                with_reposts,
            };
            let page = core.engine().ask(query).await?;
            texts.extend(page.items.iter().map(|it| it.post.post.content.text.as_str().to_owned()));
            place = page.next;
            if place.is_none() {
                return Ok(texts);
            }
        }
    };
    assert_eq!(read(false, false).await.unwrap(), ["own"]);
    assert_eq!(read(true, false).await.unwrap(), ["reply", "thread", "own"]);
    // But for what somebody published who does not want to be seen.
    assert_eq!(read(true, true).await.unwrap(), ["of carol's", "reply", "thread", "own"]);
    edge(EdgeKind::Block, "bob", "alice").await;
    assert!(matches!(read(true, true).await, Err(Error::Blocked { .. })));
}

/// Ten thousand entries that are hidden, in a row, are gone through by whoever may take the time,
/// and only by them; also if it takes a look at each.
#[test]
fn ten_thousand_hidden_in_a_row_end_somewhere() {
    const HIDDEN: u64 = 10_000;

    let of_stranger =
        PostRef { id: PostId::from_revision(Revision::new(1)), author: user("stranger") };
    let to_stranger = ReplyTo { parent: of_stranger.clone(), root: of_stranger };
    let reply = || Content { reply_to: Some(Box::new(to_stranger.clone())), ..content("hidden") };
    let delete = |place| Change::Delete {
        post: PostRef { id: PostId::from_revision(Revision::new(place)), author: user("bob") },
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
    let view = view_of(&changes);

    let head = view.applied();
    let query = |before: Option<Revision>, items_max| HomeFeed {
        user: user("alice"),
        position: before.map(|before| PagePosition { before, at: head }),
        items_max,
        with_own: true,
        all_replies: false,
    };
    let first = query(None, 2);
    let reader = query::Reader::new(Arc::new(view), &limits());
    assert!(reader.ask_memory(&first).unwrap().is_none(), "a worker was held up");
    // Page by page, each of which looks through so many.
    let (mut pages, mut next) = (Vec::new(), Some(Revision::MAX));
    while let Some(before) = next {
        let page = reader.ask_blocking(&query(Some(before), 2)).unwrap();
        next = page.next.map(|next| next.before);
        assert!(next.is_none_or(|next| next < before), "it does not come further");
        pages.push(page.items.iter().map(|item| item.revision.get()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![head.get()], vec![], vec![], vec![5, 4], vec![3]]);

    // A stream goes through them part by part.
    let (mut told, mut after, mut parts) = (Vec::new(), Revision::new(begin), 0);
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
        assert!(parts > 0 || from_memory.is_none(), "a worker was held up");
        let backlog = reader.ask_blocking(&query).unwrap();
        told.extend(backlog.events.into_iter().map(|spot| spot.revision));
        assert!(backlog.reached > after, "no end");
        after = backlog.reached;
        parts += 1;
    }
    assert_eq!(told, [head]);
    assert!(parts > 1, "one read has taken all the time");
}

fn limits() -> Limits {
    Limits { post_cache_bytes_max: 1 << 12, ..Limits::default() }
}

/// The state of these changes, all in memory apart from the content of posts.
fn view_of(changes: &[Change]) -> State {
    let options = StorageOptions { cache_bytes: 1 << 20, disk_free_bytes_min: 0 };
    let log = LocalLog::with_files(Disk::default(), "memory", options).unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let view = State::new(Arc::clone(&log), &limits());
    for changes in changes.chunks(5_000) {
        let event = |change: &Change| Event::new(Timestamp::default(), change.clone());
        let events: Vec<_> = changes.iter().map(event).collect();
        log.append(log.head(), events.clone()).unwrap();
        for event in events {
            view.apply(view.applied().next(), &event).unwrap();
        }
    }
    view
}

fn content(text: &str) -> Content {
    Content::from_text(post(text))
}

async fn reply(core: &Core, author: &str, text: &str, to: PostId) -> PostId {
    let draft = Draft { reply_to: Some(to), ..Draft::from(post(text)) };
    core.engine().publish(user(author), draft, None).await.unwrap().post.id()
}

async fn react(core: &Core, kind: ReactionKind, name: &str, post: PostId) -> Revision {
    let by: UserId = user(name);
    core.engine().react(kind, by, post).await.unwrap().revision
}

/// The texts of a feed, newest first.
async fn page_texts(core: &Core, name: &str, all_replies: bool, items_max: usize) -> Vec<String> {
    let place = None;
    let query =
        HomeFeed { user: user(name), items_max, position: place, with_own: true, all_replies };
    let page = core.engine().ask(query).await.unwrap();
    page.items.iter().map(|item| item.post.post.content.text.as_str().to_owned()).collect()
}

/// A whole feed, newest first: the place of each entry, and of its post.
async fn page_places(core: &Core, name: &str, items_max: usize) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    let mut place: Option<PagePosition> = None;
    loop {
        let (with_own, all_replies) = (true, false);
        let query =
            HomeFeed { user: user(name), items_max, position: place, with_own, all_replies };
        let page = core.engine().ask(query).await.unwrap();
        let item =
            |item: &whimbrel::query::FeedItem| (item.revision.get(), item.post.post.revision.get());
        assert!(page.next.is_none() || page.items.len() == items_max, "a page that is not full");
        places.extend(page.items.iter().map(item));
        place = page.next;
        if place.is_none() {
            return places;
        }
    }
}
