//! A client that keeps one list up to date.

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel::engine::Engine;
use whimbrel::live::{
    FeedEvent, FeedEventKind, LiveStream, Start, StreamMessage, WatchOptions, Watched,
};
use whimbrel::model::{Cursor, PostId, Revision};
use whimbrel::query::{HomeFeed, ListNotifications, PagePosition};

use crate::harness::core::user;
use crate::harness::within;

/// An entry of a feed, or a notification, without its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The post; or the subject of a notification.
    post: Option<PostId>,
    /// The published post of a notification.
    published: Option<PostId>,
    author: String,
    /// The author or the reposter; or the actor of a notification.
    by: String,
}

/// A client, and the list that it keeps.
pub(super) struct Client {
    name: String,
    of: Watched,
    stream: LiveStream,
    entries: BTreeMap<u64, Entry>,
    /// The end of its pages: it keeps no entry below this revision.
    floor: u64,
    cursor: Cursor,
    /// The applied events, for the message of a failed check.
    applied: Vec<String>,
}

/// The number of pages to read, and their size.
#[derive(Clone, Copy)]
pub(super) struct Paging {
    pub(super) pages: usize,
    pub(super) items_max: usize,
}

impl Client {
    /// Reads pages, and opens a stream at their position.
    pub(super) async fn open(engine: &Engine, name: &str, of: Watched, paging: Paging) -> Self {
        let (entries, at, floor) = read_pages(engine, name, of, paging).await;
        let cursor = Cursor { after: at, ..engine.cursor() };
        let stream = watch(engine, name, of, Start::After(cursor));
        Self { name: name.to_owned(), of, stream, entries, floor, cursor, applied: Vec::new() }
    }

    /// Begins with a snapshot in place of pages.
    pub(super) async fn from_snapshot(
        engine: &Engine,
        name: &str,
        of: Watched,
        items_max: usize,
    ) -> Self {
        let stream = watch(engine, name, of, Start::Snapshot { items_max });
        let (name, entries, applied) = (name.to_owned(), BTreeMap::new(), Vec::new());
        let cursor = engine.cursor();
        let mut client = Self { name, of, stream, entries, floor: 0, cursor, applied };
        while !matches!(client.read_one(engine).await, StreamMessage::CaughtUp { .. }) {}
        let oldest = client.entries.keys().next().copied();
        client.floor = oldest.filter(|_| client.entries.len() >= items_max).unwrap_or(0);
        client
    }

    /// Ends the stream, and opens another after the last cursor.
    pub(super) fn resume(&mut self, engine: &Engine) {
        self.applied.push(format!("resumed after {}", self.cursor.after));
        self.stream = watch(engine, &self.name, self.of, Start::After(self.cursor));
    }

    /// Reads until the stream has delivered everything up to now.
    pub(super) async fn read_all(&mut self, engine: &Engine) {
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

    pub(super) async fn read_one(&mut self, engine: &Engine) -> StreamMessage {
        let step = within("the next message", self.stream.next()).await;
        let step = step.expect("the log is read").expect("the stream continues");
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

    /// Applies an event by the rules of the protos.
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

    /// The revisions of its entries, oldest first.
    pub(super) fn revisions(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    fn put(&mut self, at: Revision, entry: Entry) {
        if at.get() >= self.floor {
            self.entries.insert(at.get(), entry);
        }
    }

    async fn page_again(&mut self, engine: &Engine, revision: u64) {
        let again = page_down_to(engine, &self.name, self.of, self.floor).await;
        self.entries.retain(|&at, _| at > revision);
        self.entries.extend(again.into_iter().filter(|&(at, _)| at <= revision));
    }

    /// Its list equals the pages, down to the end of the pages that it read.
    pub(super) async fn check(&self, engine: &Engine) {
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
    // A bookmark comes as soon as no other message is due.
    let options = WatchOptions { of, heartbeat: Duration::ZERO, reset_items: None };
    engine.watch(&user(name), start, options).expect("the stream is opened")
}

/// The entries of all pages down to `floor`.
async fn page_down_to(
    engine: &Engine,
    name: &str,
    of: Watched,
    floor: u64,
) -> BTreeMap<u64, Entry> {
    let paging = Paging { pages: usize::MAX, items_max: 7 };
    let (mut entries, ..) = read_pages(engine, name, of, paging).await;
    entries.retain(|&at, _| at >= floor);
    entries
}

/// Reads pages. Returns their entries, their position, and the revision at which they end.
async fn read_pages(
    engine: &Engine,
    name: &str,
    of: Watched,
    paging: Paging,
) -> (BTreeMap<u64, Entry>, Revision, u64) {
    let mut entries = BTreeMap::new();
    let mut at = None;
    let mut position = None;
    let mut floor = 0;
    for _ in 0..paging.pages {
        let page = read_page(engine, name, of, paging.items_max, position).await;
        let (items, next, of_page) = page;
        at.get_or_insert(of_page);
        floor = items.last().filter(|_| next.is_some()).map_or(0, |(at, _)| *at);
        entries.extend(items);
        position = next;
        if position.is_none() {
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
    position: Option<PagePosition>,
) -> (Vec<(u64, Entry)>, Option<PagePosition>, Revision) {
    match of {
        Watched::Feed { all_replies } => {
            let user = user(name);
            let query = HomeFeed { user, items_max, position, with_own: true, all_replies };
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
                .ask(ListNotifications { user: user(name), items_max, position })
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
