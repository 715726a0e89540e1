//! Clients that keep a list up to date: they read pages, go on from there with a stream, and apply
//! its events by the rules of the proto and nothing else. Whatever happens in between, what they
//! hold is then what a page says, down to where their pages ended.

use std::collections::BTreeMap;
use std::time::Duration;
use whimbrel::model::Relation;
use whimbrel::query::ListNotifications;

use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine};
use whimbrel::live::{
    FeedEvent, FeedEventKind, LiveStream, Start, StreamMessage, WatchOptions, Watched,
};
use whimbrel::model::{Change, Content, Cursor, PostId, PostRef, Revision};
use whimbrel::query::HomeFeed;
use whimbrel::query::PagePosition;

use crate::harness::core::{Core, FEED, post, user};
use crate::harness::within;
use crate::oracle::any_change::{any_change, make, name};
use crate::oracle::relations::{EdgeKind, ReactionKind, SetRelation};
use crate::oracle::world::{Tie, World};

const USERS: usize = 5;
const STEPS: usize = 150;
const CLIENTS_MAX: usize = 12;

/// An entry of a feed, or a notification, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The post, or the one that a notification is about.
    post: Option<PostId>,
    /// Of a notification: the post that was published.
    published: Option<PostId>,
    author: String,
    /// Who put it there: the author, or who reposted it; or who did what is notified.
    by: String,
}

/// All that a client holds.
struct Client {
    name: String,
    of: Watched,
    stream: LiveStream,
    entries: BTreeMap<u64, Entry>,
    /// Where its pages ended: it holds nothing below.
    floor: u64,
    cursor: Cursor,
    /// What was applied, for who reads a failure.
    applied: Vec<String>,
}

/// How many pages are read, and of how many entries each.
#[derive(Clone, Copy)]
struct Reach {
    pages: usize,
    items_max: usize,
}

/// What happens in a history.
#[derive(Clone, Copy)]
enum Mix {
    /// Everything that can.
    Everything,
    /// Nobody changes whom they follow or hide, so no event has a client page again; and there are so
    /// many posts and reposts, made and gone, that the window of the rule for reposts matters.
    Reposts,
}

#[test]
fn lists_that_are_kept_are_what_a_page_says() {
    for seed in 0..12 {
        run(seed, Mix::Everything, |change| Core::limited(change));
    }
}

/// The same among people who repost all the time and take much of it back.
#[test]
fn lists_of_reposts_that_are_kept_are_what_a_page_says() {
    for seed in 0..6 {
        run(seed, Mix::Reposts, |change| Core::limited(change));
    }
}

/// With next to nothing in memory, and an index that is written every few events.
#[test]
fn lists_that_are_kept_from_the_index_are_what_a_page_says() {
    for (seed, mix) in (100..106).map(|seed| (seed, Mix::Everything)).chain([(1, Mix::Reposts)]) {
        run(seed, mix, |change| {
            Core::indexed(|limits| {
                limits.recent_revisions_per_author_max = 2;
                limits.index_events_max = 5;
                limits.index_write_delay_max = Duration::from_millis(1);
                limits.concurrent_reads_max = 1;
                limits.post_cache_bytes_max = 1 << 10;
                change(limits);
            })
        });
    }
}

/// The case in which a page and a stream first went apart: two reposts of one post, of which the
/// first is taken back, or goes with who made it.
#[tokio::test]
async fn the_second_repost_comes_when_the_first_one_goes() {
    use EdgeKind::{Block, Mute, Unfollow};

    for way in [None, Some(Unfollow), Some(Mute), Some(Block)] {
        let core = Core::limited(|_| ());
        let engine = core.engine();
        let edge = async |kind| engine.change_edge(kind, user("v"), user("b")).await.unwrap();
        core.follow("v", "b").await;
        core.follow("v", "d").await;
        let post = core.publish("x", "the post").await.post.id();
        let mut client = Client::open(engine, "v", FEED, Reach { pages: 9, items_max: 9 }).await;
        let repost = async |kind, who| engine.react(kind, user(who), post).await.unwrap().revision;
        repost(ReactionKind::Repost, "b").await;
        let second = repost(ReactionKind::Repost, "d").await;
        client.read_all(engine).await;
        client.check(engine).await;
        match way {
            None => drop(repost(ReactionKind::Unrepost, "b").await),
            Some(kind) => drop(edge(kind).await),
        }
        client.read_all(engine).await;
        client.check(engine).await;
        assert_eq!(client.entries.keys().copied().collect::<Vec<_>>(), [second.get()], "{way:?}");
    }
}

/// The same when the post itself goes from the feed with its author, and a repost of it stays.
#[tokio::test]
async fn a_repost_comes_when_the_author_is_unfollowed() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "x").await;
    core.follow("v", "d").await;
    let post = core.publish("x", "the post").await.post.id();
    let mut client = Client::open(engine, "v", FEED, Reach { pages: 9, items_max: 9 }).await;
    let repost = engine.set(Relation::Repost(user("d"), post), true).await.unwrap().revision;
    client.read_all(engine).await;
    assert_eq!(client.entries.len(), 1, "the repost is kept out by the post");
    engine.set(Relation::Follow(user("v"), user("x")), false).await.unwrap();
    client.read_all(engine).await;
    client.check(engine).await;
    assert_eq!(client.entries.keys().copied().collect::<Vec<_>>(), [repost.get()]);
}

/// What is deleted, or taken back, moves nothing else into the window of the rule for reposts.
#[tokio::test]
async fn a_deletion_moves_no_other_entry() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    let post = core.publish("x", "the post").await.post.id();
    core.follow("v", "x").await;
    let mut between = Vec::new();
    for number in 0..40 {
        between.push(core.publish("b", &format!("{number}")).await.post.id());
    }
    let mut client = Client::open(engine, "v", FEED, Reach { pages: 9, items_max: 9 }).await;
    let repost = engine.set(Relation::Repost(user("b"), post), true).await.unwrap().revision;
    for gone in between {
        engine.delete(user("b"), gone).await.unwrap();
        client.read_all(engine).await;
        client.check(engine).await;
        assert!(client.entries.contains_key(&repost.get()), "{:?}", client.entries);
    }
    assert_eq!(client.entries.len(), 2);
}

/// A reply leaves the feed with whom it answers.
#[tokio::test]
async fn a_reply_goes_when_whom_it_answers_is_unfollowed() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    core.follow("v", "d").await;
    let of_d = core.publish("d", "of d's").await.post.id();
    let reply = Draft { reply_to: Some(of_d), ..Draft::from(post("a reply")) };
    engine.publish(user("b"), reply, None).await.unwrap();
    let mut client = Client::open(engine, "v", FEED, Reach { pages: 9, items_max: 9 }).await;
    assert_eq!(client.entries.len(), 2);
    engine.set(Relation::Follow(user("v"), user("d")), false).await.unwrap();
    client.read_all(engine).await;
    client.check(engine).await;
    assert!(client.entries.is_empty(), "{:?}", client.entries);
}

/// What somebody did who is only reposted is there again after they were muted for a while, and so
/// are notifications of theirs; what is taken back is gone from both.
#[tokio::test]
async fn who_was_muted_is_seen_and_heard_again() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    core.follow("v", "b").await;
    let own = core.publish("v", "own").await.post.id();
    let post = core.publish("x", "the post").await.post.id();
    engine.set(Relation::Repost(user("b"), post), true).await.unwrap();
    engine.set(Relation::Like(user("x"), own), true).await.unwrap();
    core.follow("x", "v").await;
    let reach = Reach { pages: 9, items_max: 9 };
    let mut clients = [
        Client::open(engine, "v", FEED, reach).await,
        Client::open(engine, "v", Watched::Notifications, reach).await,
    ];
    assert_eq!(clients.each_ref().map(|client| client.entries.len()), [2, 2]);
    let mute = async |kind| engine.change_edge(kind, user("v"), user("x")).await.unwrap();
    mute(EdgeKind::Mute).await;
    let mut counts = Vec::new();
    for step in 0..4 {
        match step {
            0 => {}
            1 => drop(mute(EdgeKind::Unmute).await),
            2 => drop(engine.set(Relation::Like(user("x"), own), false).await.unwrap()),
            _ => drop(engine.set(Relation::Follow(user("x"), user("v")), false).await.unwrap()),
        }
        for client in &mut clients {
            client.read_all(engine).await;
            client.check(engine).await;
            counts.push(client.entries.len());
        }
    }
    assert_eq!(counts, [1, 0, 2, 2, 2, 1, 2, 0]);
}

fn run(seed: u64, mix: Mix, core: impl FnOnce(&dyn Fn(&mut Limits)) -> Core) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let core = core(&|limits| {
            limits.batch_events_max = 3;
            limits.streams_per_user_max = 64;
        });
        let (random, world) = (fastrand::Rng::with_seed(seed), World::default());
        TimelineKind { random, mix, core, world }.run().await;
    });
}

struct TimelineKind {
    random: fastrand::Rng,
    mix: Mix,
    core: Core,
    world: World,
}

impl TimelineKind {
    async fn run(mut self) {
        if let Mix::Reposts = self.mix {
            for (one, other) in (0..USERS).flat_map(|one| (1..3).map(move |by| (one, one + by))) {
                let (follower, followee) = (user(&name(one)), user(&name(other % USERS)));
                self.make(Change::Follow { follower, followee }).await;
            }
        }
        let before = if let Mix::Reposts = self.mix { 2 * STEPS } else { STEPS / 3 };
        for _ in 0..before {
            self.change().await;
        }
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..STEPS {
            self.change().await;
            if clients.len() < CLIENTS_MAX && self.random.u8(..3) == 0 {
                let client = self.open().await;
                clients.push(client);
            }
            let engine = self.core.engine();
            if clients.is_empty() {
                continue;
            }
            let number = self.random.usize(..clients.len());
            let client = &mut clients[number];
            match self.random.u8(..4) {
                // Some of what there is, and then more happens.
                0 => {
                    for _ in 0..self.random.usize(1..5) {
                        client.read_one(engine).await;
                    }
                }
                1 => client.resume(engine),
                2 if self.random.bool() => drop(clients.swap_remove(number)),
                _ => {
                    client.read_all(engine).await;
                    client.check(engine).await;
                }
            }
        }
        for client in &mut clients {
            client.read_all(self.core.engine()).await;
            client.check(self.core.engine()).await;
        }
    }

    async fn open(&mut self) -> Client {
        let name = name(self.random.usize(..USERS));
        let of = match self.random.u8(..3) {
            0 => Watched::Notifications,
            kind => Watched::Feed { all_replies: kind == 1 },
        };
        let reach = Reach { pages: self.random.usize(1..4), items_max: self.random.usize(1..20) };
        let engine = self.core.engine();
        if self.random.u8(..4) == 0 {
            Client::from_snapshot(engine, &name, of, reach.items_max).await
        } else {
            Client::open(engine, &name, of, reach).await
        }
    }

    async fn change(&mut self) {
        let change = loop {
            let change = match self.mix {
                Mix::Everything => any_change(&mut self.random, &self.world, USERS),
                Mix::Reposts => self.any_repost(),
            };
            if let Some(change) = change {
                break change;
            }
        };
        self.make(change).await;
    }

    /// A post, a repost of one of the newest, or the end of one of them.
    fn any_repost(&mut self) -> Option<Change> {
        let by = name(self.random.usize(..USERS));
        let posts = self.world.posts();
        let newest = posts.len().saturating_sub(90);
        let place = posts.get(newest + self.random.usize(..(posts.len() - newest).max(1)));
        let place = place.copied().filter(|&place| self.world.retracted(place).is_none());
        let kind = self.random.u8(..10);
        if kind < 3 || posts.is_empty() {
            let content = Content::from_text(post("a post"));
            return Some(Change::Publish { author: user(&by), content, request_id: None });
        }
        let place = place?;
        let post = PostRef {
            id: PostId::from_revision(Revision::new(place)),
            author: user(self.world.author(place)),
        };
        let since = self.world.since(&Tie::Repost(by.clone(), place), self.world.head());
        let since = since.map(Revision::new);
        match kind {
            3..=6 if since.is_none() => Some(Change::Repost { user: user(&by), post }),
            7 | 8 if since.is_some() => Some(Change::Unrepost { user: user(&by), post, since }),
            9 => Some(Change::Delete { post, reply_to: None, quote: None, notified: Vec::new() }),
            _ => None,
        }
    }

    async fn make(&mut self, change: Change) {
        let revision = make(self.core.engine(), &change).await;
        assert_eq!(self.world.push(change), revision.get());
    }
}

impl Client {
    /// Reads pages, and goes on from there.
    async fn open(engine: &Engine, name: &str, of: Watched, reach: Reach) -> Self {
        let (entries, at, floor) = read_pages(engine, name, of, reach).await;
        let cursor = Cursor { after: at, ..engine.cursor() };
        let stream = watch(engine, name, of, Start::After(cursor));
        Self { name: name.to_owned(), of, stream, entries, floor, cursor, applied: Vec::new() }
    }

    /// Begins with a snapshot, which stands for the page.
    async fn from_snapshot(engine: &Engine, name: &str, of: Watched, items_max: usize) -> Self {
        let stream = watch(engine, name, of, Start::Snapshot { items_max });
        let (name, entries, applied) = (name.to_owned(), BTreeMap::new(), Vec::new());
        let cursor = engine.cursor();
        let mut client = Self { name, of, stream, entries, floor: 0, cursor, applied };
        while !matches!(client.read_one(engine).await, StreamMessage::CaughtUp { .. }) {}
        let oldest = client.entries.keys().next().copied();
        client.floor = oldest.filter(|_| client.entries.len() >= items_max).unwrap_or(0);
        client
    }

    /// Ends the stream, and opens another where it has come to.
    fn resume(&mut self, engine: &Engine) {
        self.applied.push(format!("resumed after {}", self.cursor.after));
        self.stream = watch(engine, &self.name, self.of, Start::After(self.cursor));
    }

    /// Reads until it is level with all there is.
    async fn read_all(&mut self, engine: &Engine) {
        let head = engine.cursor().after;
        loop {
            match self.read_one(engine).await {
                StreamMessage::Bookmark { cursor } | StreamMessage::CaughtUp { cursor }
                    if cursor.after >= head =>
                {
                    return;
                }
                _ => {}
            }
        }
    }

    async fn read_one(&mut self, engine: &Engine) -> StreamMessage {
        let step = within("the next message", self.stream.next()).await;
        let step = step.expect("the log is read").expect("the stream goes on");
        if let StreamMessage::Batch { events, .. } = &step {
            for event in events.iter() {
                self.apply(engine, event).await;
            }
        }
        match step {
            StreamMessage::Opened { cursor, .. }
            | StreamMessage::Batch { cursor, .. }
            | StreamMessage::CaughtUp { cursor }
            | StreamMessage::Bookmark { cursor }
            | StreamMessage::Closing { cursor } => self.cursor = cursor,
            StreamMessage::Reset { .. } => panic!("no reset was asked for"),
        }
        step
    }

    /// The rules of the protos.
    async fn apply(&mut self, engine: &Engine, event: &FeedEvent) {
        use FeedEventKind::*;

        self.applied.push(format!("{event:?}"));
        match &event.kind {
            Posted(post) => {
                let (id, author) = (post.id(), post.author.to_string());
                self.put(event.revision, Entry::of_feed(id, author.clone(), author));
            }
            Reposted { post, by } => {
                let entry = Entry::of_feed(post.id(), post.author.to_string(), by.to_string());
                self.put(event.revision, entry);
            }
            Unreposted { post, by, stand_in, .. } => {
                let by = by.as_str();
                self.entries.retain(|&at, it| {
                    it.post != Some(*post) || it.by != by || at == post.revision().get()
                });
                if let Some(it) = stand_in {
                    let author = it.post.author.to_string();
                    self.put(it.revision, Entry::of_feed(it.post.id(), author, it.by.to_string()));
                }
            }
            Deleted(post) => {
                self.entries.retain(|_, it| it.post != Some(*post) && it.published != Some(*post))
            }
            AuthorRemoved { author: by, .. } | ActorRemoved { actor: by, .. } => {
                self.entries.retain(|_, it| it.by != by.as_str());
            }
            Notified(it) => {
                let entry = Entry {
                    post: it.subject,
                    published: it.post.as_ref().map(|post| post.id()),
                    author: String::new(),
                    by: it.actor.to_string(),
                };
                self.put(it.revision, entry);
            }
            Withdrawn { notification } => drop(self.entries.remove(&notification.get())),
            AuthorAdded(_) | AuthorShown(_) | ActorShown(_) | Seen { .. } => {}
        }
        if event.page_again > Revision::ZERO {
            self.page_again(engine, event.page_again.get()).await;
        }
    }

    fn put(&mut self, at: Revision, entry: Entry) {
        if at.get() >= self.floor {
            self.entries.insert(at.get(), entry);
        }
    }

    async fn page_again(&mut self, engine: &Engine, place: u64) {
        let again = page_down_to(engine, &self.name, self.of, self.floor).await;
        self.entries.retain(|&at, _| at > place);
        self.entries.extend(again.into_iter().filter(|&(at, _)| at <= place));
    }

    /// What it holds is what pages say, down to where its pages ended.
    async fn check(&self, engine: &Engine) {
        let pages = page_down_to(engine, &self.name, self.of, self.floor).await;
        let Self { name, of, floor, applied, .. } = self;
        let applied = applied[applied.len().saturating_sub(12)..].join("\n");
        assert_eq!(self.entries, pages, "{name}'s {of:?} down to {floor}, after\n{applied}");
    }
}

impl Entry {
    fn of_feed(post: PostId, author: String, by: String) -> Self {
        Self { post: Some(post), published: None, author, by }
    }
}

fn watch(engine: &Engine, name: &str, of: Watched, start: Start) -> LiveStream {
    // A bookmark comes as soon as there is nothing else.
    let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
    engine.watch(&user(name), start, options).expect("the stream is opened")
}

/// All entries of pages down to `floor`.
async fn page_down_to(
    engine: &Engine,
    name: &str,
    of: Watched,
    floor: u64,
) -> BTreeMap<u64, Entry> {
    let reach = Reach { pages: usize::MAX, items_max: 7 };
    let (mut entries, ..) = read_pages(engine, name, of, reach).await;
    entries.retain(|&at, _| at >= floor);
    entries
}

/// Reads pages. Gives what is on them, the position they show, and where they end.
async fn read_pages(
    engine: &Engine,
    name: &str,
    of: Watched,
    reach: Reach,
) -> (BTreeMap<u64, Entry>, Revision, u64) {
    let mut entries = BTreeMap::new();
    let mut at = None;
    let mut place = None;
    let mut floor = 0;
    for _ in 0..reach.pages {
        let page = read_page(engine, name, of, reach.items_max, place).await;
        let (items, next, of_page) = page;
        at.get_or_insert(of_page);
        floor = items.last().filter(|_| next.is_some()).map_or(0, |(at, _)| *at);
        entries.extend(items);
        place = next;
        if place.is_none() {
            break;
        }
    }
    (entries, at.expect("a page"), floor)
}

async fn read_page(
    engine: &Engine,
    name: &str,
    of: Watched,
    items_max: usize,
    place: Option<PagePosition>,
) -> (Vec<(u64, Entry)>, Option<PagePosition>, Revision) {
    match of {
        Watched::Feed { all_replies } => {
            let user = user(name);
            let query = HomeFeed { user, items_max, position: place, with_own: true, all_replies };
            let page = engine.ask(query).await.expect("a page");
            let items = page.items.into_iter().map(|item| {
                let post = &item.post.post;
                let author = post.author.to_string();
                let by = item.reposted_by.map_or_else(|| author.clone(), |by| by.to_string());
                (item.revision.get(), Entry::of_feed(post.id(), author, by))
            });
            (items.collect(), page.next, page.at)
        }
        Watched::Notifications => {
            let page = engine
                .ask(ListNotifications { user: user(name), items_max, position: place })
                .await
                .expect("a page");
            let page = page.page;
            let items = page.items.into_iter().map(|it| {
                let published = it.post.as_ref().map(|post| post.id());
                let (author, by) = (String::new(), it.actor.to_string());
                (it.revision.get(), Entry { post: it.subject, published, author, by })
            });
            (items.collect(), page.next, page.at)
        }
    }
}
