//! Random histories of all changes: pages, unbroken streams, resumed streams and snapshots must all
//! have what the [`Oracle`] expects.

use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::live::{Start, Watched};
use whimbrel::model::{Change, Cursor, Revision, UserId};
use whimbrel::query::{HomeFeed, PagePosition};

use crate::harness::core::{Core, user};
use crate::harness::reader::StreamReader;
use crate::oracle::any_change::{any_change, make, name};
use crate::oracle::feeds::{Options, Viewpoint};
use crate::oracle::history::{Oracle, post_id};

const USERS: usize = 6;
const STEPS: usize = 160;

/// With all records in memory.
#[test]
fn feeds_from_memory_match_their_definition() {
    for seed in 0..12 {
        run(seed, |change| Core::limited(change));
    }
}

/// With nearly no records in memory, and an index that is written every few events.
#[test]
fn feeds_from_the_index_match_their_definition() {
    for seed in 100..108 {
        run(seed, |change| {
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

fn run(seed: u64, core: impl FnOnce(&dyn Fn(&mut Limits)) -> Core) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let core = core(&|limits| {
            limits.batch_events_max = 3;
            limits.streams_per_user_max = 64;
            // A bookmark comes as soon as no other message is due.
            limits.heartbeat_interval_default = Duration::ZERO;
        });
        let (random, oracle) = (fastrand::Rng::with_seed(seed), Oracle::default());
        History { random, core, oracle }.run().await;
    });
}

struct History {
    random: fastrand::Rng,
    core: Core,
    oracle: Oracle,
}

/// A stream that is never broken.
struct Unbroken {
    name: String,
    of: Watched,
    reader: StreamReader,
    /// Its events up to this revision were checked.
    checked_until: u64,
}

impl History {
    async fn run(mut self) {
        for _ in 0..STEPS / 4 {
            self.make_a_change().await;
        }
        let mut readers = self.readers();
        for _ in 0..STEPS {
            self.make_a_change().await;
            for unbroken in &mut readers {
                self.check_unbroken(unbroken).await;
            }
            match self.random.usize(..12) {
                0 => self.check_resumed().await,
                1 => self.check_snapshot().await,
                2 => self.check_pages().await,
                _ => {}
            }
        }
        for _ in 0..USERS {
            self.check_pages().await;
            self.check_resumed().await;
            self.check_snapshot().await;
        }
    }

    /// A live stream of each kind for every user.
    fn readers(&self) -> Vec<Unbroken> {
        let kinds = [
            Watched::Feed { all_replies: false },
            Watched::Feed { all_replies: true },
            Watched::Notifications,
        ];
        let open = |number, of| Unbroken {
            name: name(number),
            of,
            reader: self.open(&name(number), of, Start::Now),
            checked_until: self.oracle.head(),
        };
        (0..USERS).flat_map(|number| kinds.map(|of| open(number, of))).collect()
    }

    fn open(&self, name: &str, of: Watched, start: Start) -> StreamReader {
        StreamReader::open(self.core.engine(), name, of, start)
    }

    /// Its new events are those that a stream that reads the same changes now would deliver.
    async fn check_unbroken(&self, unbroken: &mut Unbroken) {
        let Unbroken { name, of, reader, checked_until } = unbroken;
        let delivered = reader.read_until(Revision::new(self.oracle.head())).await;
        assert_eq!(delivered, self.expected_after(name, *of, *checked_until), "{name}'s {of:?}");
        *checked_until = self.oracle.head();
    }

    /// A stream that resumes at any revision delivers the events after it.
    async fn check_resumed(&mut self) {
        let (name, of) = (name(self.random.usize(..USERS)), self.kind());
        let after = self.random.u64(..=self.oracle.head());
        let cursor = Cursor { after: Revision::new(after), ..self.core.engine().cursor() };
        let mut reader = self.open(&name, of, Start::After(cursor));
        let delivered = reader.read_backlog().await;
        let expected = self.expected_after(&name, of, after);
        assert_eq!(delivered, expected, "{name}'s {of:?} after {after}");
    }

    /// A snapshot has the newest items, oldest first.
    async fn check_snapshot(&mut self) {
        let (name, of) = (name(self.random.usize(..USERS)), self.kind());
        let items_max = 1 + self.random.usize(..20);
        let mut reader = self.open(&name, of, Start::Snapshot { items_max });
        let delivered = reader.read_backlog().await;
        let mut expected = match of {
            Watched::Feed { all_replies } => {
                let feed = self.oracle.feed(&name, Options { with_own: true, all_replies });
                feed.into_iter().take(items_max).map(|entry| entry.at).collect::<Vec<_>>()
            }
            Watched::Notifications => {
                let page = Viewpoint::page(self.oracle.head());
                let newest_first = (1..=self.oracle.head()).rev();
                let is_notified = |&at: &u64| self.notification(&name, at, page).is_some();
                newest_first.filter(is_notified).take(items_max).collect()
            }
        };
        expected.reverse();
        let delivered: Vec<_> = delivered.into_iter().map(|(at, _)| at).collect();
        assert_eq!(delivered, expected, "{name}'s {of:?}");
    }

    /// The pages together are the feed, and all but the last are full.
    async fn check_pages(&mut self) {
        let name = name(self.random.usize(..USERS));
        let (with_own, all_replies) = (self.random.bool(), self.random.bool());
        let items_max = 1 + self.random.usize(..12);
        let mut position: Option<PagePosition> = None;
        let mut read = Vec::new();
        loop {
            let query = HomeFeed { user: user(&name), items_max, position, with_own, all_replies };
            let page = self.core.engine().ask(query).await.unwrap();
            position = page.next;
            assert!(position.is_none() || page.items.len() == items_max, "a page that is not full");
            read.extend(page.items.into_iter().map(|item| {
                let by = item.reposted_by.unwrap_or_else(|| item.post.post.author.clone());
                (item.revision.get(), item.post.post.revision.get(), by.to_string())
            }));
            if position.is_none() {
                break;
            }
        }
        let feed = self.oracle.feed(&name, Options { with_own, all_replies }).into_iter();
        let expected: Vec<_> = feed.map(|entry| (entry.at, entry.post, entry.by)).collect();
        assert_eq!(read, expected, "{name}'s feed: {with_own} {all_replies}");
    }

    fn kind(&mut self) -> Watched {
        match self.random.u8(..3) {
            0 => Watched::Notifications,
            kind => Watched::Feed { all_replies: kind == 1 },
        }
    }

    fn expected_after(&self, viewer: &str, of: Watched, after: u64) -> Vec<(u64, String)> {
        let expected = |at| {
            let event = match of {
                Watched::Feed { all_replies } => {
                    self.oracle.delivered(viewer, at, self.oracle.head(), all_replies)
                }
                Watched::Notifications => self.notification_event(viewer, at),
            };
            Some((at, event?))
        };
        (after + 1..=self.oracle.head()).filter_map(expected).collect()
    }

    /// The event that `viewer`'s stream of notifications delivers for the change at `at`, in short,
    /// if it reads that change now.
    fn notification_event(&self, viewer: &str, at: u64) -> Option<String> {
        match self.oracle.change(at) {
            Change::Block { blocker, blocked, .. } if blocker.as_str() == viewer => {
                Some(format!("without {blocked}, blocked"))
            }
            Change::Block { blocker, blocked, .. } if blocked.as_str() == viewer => {
                Some(format!("without {blocker}, blocked"))
            }
            Change::Mute { muter, muted } if muter.as_str() == viewer => {
                Some(format!("without {muted}, muted"))
            }
            Change::See { user, until } if user.as_str() == viewer => Some(format!("seen {until}")),
            Change::Unblock { blocker: one, blocked: other } if one.as_str() == viewer => {
                self.actor_shown(viewer, other)
            }
            Change::Unblock { blocker: other, blocked: one } if one.as_str() == viewer => {
                self.actor_shown(viewer, other)
            }
            Change::Unmute { muter, muted, .. } if muter.as_str() == viewer => {
                self.actor_shown(viewer, muted)
            }
            Change::Unfollow { followee, since, .. } if followee.as_str() == viewer => {
                Some(format!("withdrawn {}", since.unwrap()))
            }
            Change::Unlike { user, post, since } | Change::Unrepost { user, post, since }
                if post.author.as_str() == viewer && user.as_str() != viewer =>
            {
                Some(format!("withdrawn {}", since.unwrap()))
            }
            Change::Delete { post, notified, .. }
                if post.author.as_str() == viewer || notified.contains(&user(viewer)) =>
            {
                Some(format!("deleted {:?}", post.id))
            }
            _ => self.notification(viewer, at, Viewpoint::resumed(at, self.oracle.head())),
        }
    }

    fn actor_shown(&self, viewer: &str, other: &UserId) -> Option<String> {
        let is_hidden =
            self.oracle.is_hidden(viewer, other.as_str(), Viewpoint::page(self.oracle.head()));
        (!is_hidden).then(|| format!("with {other} again"))
    }

    /// The notification of `viewer` that the change at `at` makes, in short.
    fn notification(&self, viewer: &str, at: u64, viewpoint: Viewpoint) -> Option<String> {
        let (actor, kind, subject) = self.oracle.notification(viewer, at, viewpoint)?;
        let subject = subject.map_or_else(String::new, |post| format!(" {:?}", post_id(post)));
        Some(format!("{kind} by {actor}{subject}"))
    }

    /// Makes one change, by the engine and in the oracle.
    async fn make_a_change(&mut self) {
        let change = loop {
            if let Some(change) = any_change(&mut self.random, &self.oracle, USERS) {
                break change;
            }
        };
        let revision = make(self.core.engine(), &change).await;
        assert_eq!(self.oracle.push(change), revision.get());
    }
}
