//! A page passes a bounded number of records; the next page continues from there. A read ends when
//! its caller is gone.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::Draft;
use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, Relation, ReplyTo, Revision, Timestamp, UserId,
};
use whimbrel::query::{
    AuthorFeed, CallerKey, Error, GetPosts, HomeFeed, ListNotifications, ListPosts, ListUsers,
    Page, PagePosition, PostList, Query, QueryCaller, Reader, Source, Unanswered, UserList,
    WorkMeter,
};
use whimbrel::state::State;
use whimbrel::storage::{LocalLog, Log};

use crate::harness::core::{Core, post, user};
use crate::harness::{Alter, AlteredLog, LOG_OPTIONS, MemoryFolder, within};

/// The number of records that a page passes.
const RECORDS_PER_PAGE: usize = 10;
/// More hidden records in a row than a page passes.
const HIDDEN: usize = 25;

/// With all records in memory; and with nearly none.
fn cores() -> [Core; 2] {
    let bound = |limits: &mut Limits| limits.page_scan_entries_max = RECORDS_PER_PAGE;
    let indexed = |limits: &mut Limits| {
        bound(limits);
        limits.recent_revisions_per_author_max = 1;
        limits.index_events_max = 5;
        limits.index_write_delay_max = std::time::Duration::from_millis(1);
        limits.post_cache_bytes_max = 1 << 10;
    };
    [Core::limited(bound), Core::indexed(indexed)]
}

/// Posts with many replies to strangers between them, which no follower sees.
#[tokio::test]
async fn a_feed_with_hidden_posts_is_read_to_its_end() {
    for core in cores() {
        core.follow("reader", "author").await;
        let stranger = core.publish("stranger", "hello").await.post.id();
        let mut shown = Vec::new();
        for _ in 0..3 {
            shown.insert(0, core.publish("author", "seen").await.post.id());
            for _ in 0..HIDDEN {
                reply(&core, "author", stranger).await;
            }
        }
        let feed = async |position| {
            let (user, with_own, all_replies) = (user("reader"), true, false);
            let query = HomeFeed { user, items_max: 2, position, with_own, all_replies };
            core.engine().ask(query).await
        };
        let pages = read(feed).await;
        assert!(pages.iter().any(Vec::is_empty), "no page was short");
        assert_eq!(ids(&pages, |item| item.post.post.id()), shown);

        let posts = async |position| {
            let (viewer, author) = (user("reader"), user("author"));
            let (with_replies, with_reposts) = (false, false);
            let items_max = 2;
            let query =
                AuthorFeed { viewer, author, items_max, position, with_replies, with_reposts };
            core.engine().ask(query).await
        };
        let pages = read(posts).await;
        assert!(pages.iter().any(Vec::is_empty), "no page was short");
        assert_eq!(ids(&pages, |item| item.post.post.id()), shown);
    }
}

/// Likes, reposts, replies, quotes and follows by many users whom the reader blocks, and deleted
/// replies.
#[tokio::test]
async fn lists_with_hidden_users_are_read_to_their_ends() {
    for core in cores() {
        let engine = core.engine();
        let of = core.publish("author", "hello").await.post.id();
        like_and_repost(&core, "friend", of).await;
        let mut replies = vec![reply(&core, "friend", of).await];
        core.follow("friend", "author").await;
        for number in 0..HIDDEN {
            let name = format!("hidden{number}");
            engine.set(Relation::Block(user("reader"), user(&name)), true).await.unwrap();
            like_and_repost(&core, &name, of).await;
            core.follow(&name, "author").await;
            reply(&core, &name, of).await;
            let deleted = reply(&core, "friend", of).await;
            engine.delete(user("friend"), deleted).await.unwrap();
        }
        like_and_repost(&core, "other", of).await;
        core.follow("other", "author").await;
        replies.insert(0, reply(&core, "other", of).await);

        for list in
            [UserList::Likes(of), UserList::Reposts(of), UserList::Followers(user("author"))]
        {
            let users = async |position| {
                engine
                    .ask(ListUsers {
                        viewer: user("reader"),
                        list: list.clone(),
                        items_max: 5,
                        position,
                    })
                    .await
            };
            let pages = read(users).await;
            assert!(pages.iter().any(Vec::is_empty), "no page of {list:?} was short");
            let users = ids(&pages, |listed| listed.user.to_string());
            assert_eq!(users, ["other", "friend"], "{list:?}");
        }
        let list = PostList::Replies(of);
        let pages = read(async |position| {
            engine.ask(ListPosts { viewer: user("reader"), list, items_max: 5, position }).await
        })
        .await;
        assert!(pages.iter().any(Vec::is_empty), "no page of replies was short");
        assert_eq!(ids(&pages, |view| view.post.id()), replies);
        let view =
            engine.ask(GetPosts { viewer: user("reader"), ids: vec![of] }).await.unwrap().remove(0);
        let counts = [view.counts.likes, view.counts.reposts, view.counts.replies];
        assert_eq!(counts, [2, 2, 2]);
    }
}

/// Notifications by many users whom the user mutes. The unseen are counted only as far as a page
/// passes.
#[tokio::test]
async fn notifications_with_hidden_users_are_read_to_their_end() {
    for core in cores() {
        let engine = core.engine();
        let of = core.publish("reader", "hello").await.post.id();
        like_and_repost(&core, "friend", of).await;
        for number in 0..HIDDEN {
            let name = format!("hidden{number}");
            engine.set(Relation::Mute(user("reader"), user(&name)), true).await.unwrap();
            like_and_repost(&core, &name, of).await;
        }
        let mut unseen = Vec::new();
        let pages = read(async |position| {
            let read = engine
                .ask(ListNotifications { user: user("reader"), items_max: 5, position })
                .await?;
            unseen.push(read.unseen);
            Ok(read.page)
        })
        .await;
        assert!(pages.iter().any(Vec::is_empty), "no page was short");
        assert_eq!(ids(&pages, |it| it.actor.to_string()), ["friend", "friend"]);
        assert!(unseen.iter().all(|&unseen| unseen == 0), "{unseen:?}");
        like_and_repost(&core, "other", of).await;
        let read = engine
            .ask(ListNotifications { user: user("reader"), items_max: 5, position: None })
            .await
            .unwrap();
        assert_eq!(read.unseen, 2);
    }
}

/// A repost is hidden by the original a few hidden records before it, and not by one much further
/// back, wherever the pages begin.
#[tokio::test]
async fn the_search_for_the_original_of_a_repost_is_bounded() {
    for (hidden, is_double) in
        [(RECORDS_PER_PAGE - 1, true), (RECORDS_PER_PAGE, false), (HIDDEN, false)]
    {
        for core in cores() {
            for author in ["author", "reposter"] {
                core.follow("reader", author).await;
            }
            let stranger = core.publish("stranger", "hello").await.post.id();
            let of = core.publish("author", "hello").await.post.id();
            for _ in 0..hidden {
                reply(&core, "author", stranger).await;
            }
            let engine = core.engine();
            engine.set(Relation::Repost(user("reposter"), of), true).await.unwrap();
            core.publish("author", "later").await;
            for items_max in 1..4 {
                let pages = read(async |position| {
                    let (user, with_own, all_replies) = (user("reader"), true, false);
                    let query = HomeFeed { user, items_max, position, with_own, all_replies };
                    engine.ask(query).await
                })
                .await;
                let reposts = ids(&pages, |item| item.reposted_by.is_some());
                let expected: &[bool] =
                    if is_double { &[false, false] } else { &[false, true, false] };
                assert_eq!(reposts, expected, "{hidden} hidden, {items_max} on a page");
            }
        }
    }
}

/// A long read whose caller is gone ends, and the next read begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_ends_when_its_caller_is_gone() {
    const REPLIES: usize = 2_000;
    let log: Arc<dyn Log> =
        Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
    let events = changes(REPLIES).into_iter();
    let events = events.map(|change| Event::new(Timestamp::default(), change));
    log.append(Revision::ZERO, events.collect()).unwrap();
    let log = AlteredLog::new(log, Held::default());
    // Nearly no event is in memory.
    let limits =
        Limits { concurrent_reads_max: 1, post_cache_bytes_max: 1 << 10, ..Limits::default() };
    let state = Arc::new(State::new(Arc::clone(&log) as Arc<dyn Log>, &limits));
    for entry in log.read(Revision::ZERO, usize::MAX).unwrap() {
        state.apply(entry.revision, &entry.event).unwrap();
    }
    let reader = Reader::new(state, &limits);

    let mut callers = JoinSet::new();
    let work = Arc::new(Work::default());
    let caller = QueryCaller::metered(CallerKey::User(1), Arc::clone(&work) as _);
    callers.spawn({
        let (reader, caller) = (reader.clone(), caller.clone());
        async move { caller.scope(reader.ask(page())).await }
    });
    // The read of the log is held.
    let held = &log.alter;
    tokio::task::block_in_place(|| held.come.wait());
    within("the caller to be gone", callers.shutdown()).await;
    tokio::task::block_in_place(|| held.go_on.wait());
    within("the next read", reader.ask(WaitsForATurn)).await.unwrap();
    assert_eq!(held.reads.load(Ordering::SeqCst), 1, "it continued without a caller");
    let begun = work.0.swap(0, Ordering::SeqCst);
    assert!((1..REPLIES).contains(&begun), "a cancelled read was {begun} of work");

    // With a caller it reads its whole page.
    let read = within("a page", caller.scope(reader.ask(page()))).await.unwrap();
    assert_eq!((read.items.len(), read.next), (1, None));
    assert!(held.reads.load(Ordering::SeqCst) > 10);
    let whole = work.0.load(Ordering::SeqCst);
    assert!((8 * REPLIES..20 * REPLIES).contains(&whole), "a whole page was {whole} of work");
}

/// The work of a caller.
#[derive(Debug, Default)]
struct Work(AtomicUsize);

impl WorkMeter for Work {
    fn add(&self, work: usize) {
        self.0.fetch_add(work, Ordering::SeqCst);
    }
}

/// A query that memory cannot answer.
struct WaitsForATurn;

impl Query for WaitsForATurn {
    type Answer = ();

    fn answer(&self, source: &Source<'_>) -> Result<(), Unanswered> {
        if source.is_memory() { Err(Unanswered::NotInMemory) } else { Ok(()) }
    }
}

/// Holds the first read until the test releases it.
struct Held {
    reads: AtomicUsize,
    come: Barrier,
    go_on: Barrier,
}

impl Default for Held {
    fn default() -> Self {
        Self { reads: AtomicUsize::new(0), come: Barrier::new(2), go_on: Barrier::new(2) }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl Alter for Held {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, whimbrel::storage::Error> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 0 {
            self.come.wait();
            self.go_on.wait();
        }
        log.get_many(revisions)
    }
}

/// One post that the reader sees, and then replies to a stranger, which are hidden.
fn changes(replies: usize) -> Vec<Change> {
    let publish = |author: &str, reply_to: Option<ReplyTo>| {
        let (author, reply_to) = (user(author), reply_to.map(Box::new));
        let content = Content { reply_to, ..Content::from_text(post("hello")) };
        Change::Publish { author, content, request_id: None }
    };
    let first = PostRef { id: PostId::from_revision(Revision::new(1)), author: user("stranger") };
    let to_first = ReplyTo { parent: first.clone(), root: first };
    let follow = Change::Follow { follower: user("reader"), followee: user("author") };
    let mut changes = vec![publish("stranger", None), follow, publish("author", None)];
    changes.extend((0..replies).map(|_| publish("author", Some(to_first.clone()))));
    changes
}

fn page() -> HomeFeed {
    let (user, items_max, position) = (user("reader"), 10, None);
    HomeFeed { user, items_max, position, with_own: true, all_replies: false }
}

/// All pages of a listing. Each must make progress.
async fn read<T>(
    mut page: impl AsyncFnMut(Option<PagePosition>) -> Result<Page<T>, Error>,
) -> Vec<Vec<T>> {
    let (mut pages, mut position): (_, Option<PagePosition>) = (Vec::new(), None);
    loop {
        let Page { items, next, .. } = page(position).await.unwrap();
        pages.push(items);
        if let (Some(position), Some(next)) = (position, next) {
            assert!(next.before < position.before, "a page without progress");
            assert_eq!(next.at, position.at);
        }
        position = next;
        if position.is_none() {
            return pages;
        }
    }
}

fn ids<T, I>(pages: &[Vec<T>], id: impl Fn(&T) -> I) -> Vec<I> {
    pages.iter().flatten().map(id).collect()
}

/// Likes and reposts a post.
async fn like_and_repost(core: &Core, name: &str, of: PostId) {
    for relation in [Relation::Like(user(name), of), Relation::Repost(user(name), of)] {
        core.engine().set(relation, true).await.unwrap();
    }
}

async fn reply(core: &Core, author: &str, to: PostId) -> PostId {
    let author: UserId = user(author);
    let draft = Draft { reply_to: Some(to), ..post("a reply").into() };
    core.engine().publish(author, draft, None).await.unwrap().post.id()
}
