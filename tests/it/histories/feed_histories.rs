//! Random histories of everything that concerns feeds, against feeds by their definition
//! ([`World`]): pages, streams that were never broken, streams that are resumed anywhere, and
//! streams that begin with a snapshot must all say what it says.

use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::live::{Start, Watched};
use whimbrel::model::{Change, Cursor, PostId, PostRef, Revision, UserId};
use whimbrel::query::HomeFeed;
use whimbrel::query::PagePosition;

use crate::harness::core::{Core, user};
use crate::harness::reader::Reader;
use crate::oracle::any_change::{any_change, make, name};
use crate::oracle::world::{Lens, Options, Tie, World};

const USERS: usize = 6;
const STEPS: usize = 160;

/// All in memory.
#[test]
fn feeds_are_what_they_are_by_definition() {
    for seed in 0..12 {
        run(seed, |change| Core::limited(change));
    }
}

/// With next to nothing in memory, and an index that is written every few events.
#[test]
fn feeds_from_the_index_are_what_they_are_by_definition() {
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
            // A bookmark comes as soon as there is nothing else.
            limits.heartbeat_interval_default = Duration::ZERO;
        });
        TimelineKind { random: fastrand::Rng::with_seed(seed), core, world: World::default() }
            .run()
            .await;
    });
}

struct TimelineKind {
    random: fastrand::Rng,
    core: Core,
    world: World,
}

/// A stream that is never broken.
struct Unbroken {
    name: String,
    of: Watched,
    reader: Reader,
    /// What it has told is compared with what happened after this.
    checked: u64,
}

impl TimelineKind {
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

    /// A live stream of each kind for everybody.
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
            checked: self.world.head(),
        };
        (0..USERS).flat_map(|number| kinds.map(|of| open(number, of))).collect()
    }

    fn open(&self, name: &str, of: Watched, start: Start) -> Reader {
        Reader::open(self.core.engine(), name, of, start)
    }

    /// What was told since the last look is what a stream that reads now tells of it.
    async fn check_unbroken(&self, unbroken: &mut Unbroken) {
        let Unbroken { name, of, reader, checked } = unbroken;
        let told = reader.told_until(Revision::new(self.world.head())).await;
        assert_eq!(told, self.told_after(name, *of, *checked), "to {name} of {of:?}");
        *checked = self.world.head();
    }

    /// A stream that goes on anywhere tells what there is to tell from there.
    async fn check_resumed(&mut self) {
        let (name, of) = (name(self.random.usize(..USERS)), self.kind());
        let after = self.random.u64(..=self.world.head());
        let cursor = Cursor { after: Revision::new(after), ..self.core.engine().cursor() };
        let mut reader = self.open(&name, of, Start::After(cursor));
        let told = reader.told_missed().await;
        let expected = self.told_after(&name, of, after);
        assert_eq!(told, expected, "to {name} of {of:?} after {after}");
    }

    /// A stream that begins with a snapshot begins with the newest of what there is.
    async fn check_snapshot(&mut self) {
        let (name, of) = (name(self.random.usize(..USERS)), self.kind());
        let items_max = 1 + self.random.usize(..20);
        let mut reader = self.open(&name, of, Start::Snapshot { items_max });
        let told = reader.told_missed().await;
        let mut expected = match of {
            Watched::Feed { all_replies } => {
                let feed = self.world.feed(&name, Options { with_own: true, all_replies });
                feed.into_iter().take(items_max).map(|entry| entry.at).collect::<Vec<_>>()
            }
            Watched::Notifications => {
                let page = Lens::page(self.world.head());
                let newest_first = (1..=self.world.head()).rev();
                let is_there = |&at: &u64| self.notice(&name, at, page).is_some();
                newest_first.filter(is_there).take(items_max).collect()
            }
        };
        expected.reverse();
        let told: Vec<_> = told.into_iter().map(|(at, _)| at).collect();
        assert_eq!(told, expected, "{name}'s {of:?}");
    }

    /// Pages are the feed, and full but for the last.
    async fn check_pages(&mut self) {
        let name = name(self.random.usize(..USERS));
        let (with_own, all_replies) = (self.random.bool(), self.random.bool());
        let items_max = 1 + self.random.usize(..12);
        let mut place: Option<PagePosition> = None;
        let mut read = Vec::new();
        loop {
            let query =
                HomeFeed { user: user(&name), items_max, position: place, with_own, all_replies };
            let page = self.core.engine().ask(query).await.unwrap();
            place = page.next;
            assert!(place.is_none() || page.items.len() == items_max, "a page that is not full");
            read.extend(page.items.into_iter().map(|item| {
                let by = item.reposted_by.unwrap_or_else(|| item.post.post.author.clone());
                (item.revision.get(), item.post.post.revision.get(), by.to_string())
            }));
            if place.is_none() {
                break;
            }
        }
        let feed = self.world.feed(&name, Options { with_own, all_replies }).into_iter();
        let expected: Vec<_> = feed.map(|entry| (entry.at, entry.post, entry.by)).collect();
        assert_eq!(read, expected, "{name}'s feed: {with_own} {all_replies}");
    }

    fn kind(&mut self) -> Watched {
        match self.random.u8(..3) {
            0 => Watched::Notifications,
            kind => Watched::Feed { all_replies: kind == 1 },
        }
    }

    fn told_after(&self, viewer: &str, of: Watched, after: u64) -> Vec<(u64, String)> {
        let told = |at| {
            let told = match of {
                Watched::Feed { all_replies } => {
                    self.world.told(viewer, at, self.world.head(), all_replies)
                }
                Watched::Notifications => self.told_beside(viewer, at),
            };
            Some((at, told?))
        };
        (after + 1..=self.world.head()).filter_map(told).collect()
    }

    /// What `viewer`'s stream of notifications tells of the change at `at`, if it reads that now.
    fn told_beside(&self, viewer: &str, at: u64) -> Option<String> {
        match self.world.change(at) {
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
                self.heard_again(viewer, other)
            }
            Change::Unblock { blocker: other, blocked: one } if one.as_str() == viewer => {
                self.heard_again(viewer, other)
            }
            Change::Unmute { muter, muted, .. } if muter.as_str() == viewer => {
                self.heard_again(viewer, muted)
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
                Some(format!("deleted {}", post.id))
            }
            _ => self.notice(viewer, at, Lens::resumed(at, self.world.head())),
        }
    }

    fn heard_again(&self, viewer: &str, other: &UserId) -> Option<String> {
        let is_hidden = self.world.is_hidden(viewer, other.as_str(), Lens::page(self.world.head()));
        (!is_hidden).then(|| format!("with {other} again"))
    }

    /// What `viewer` is notified of by the change at `at`, if that is there still.
    fn notice(&self, viewer: &str, at: u64, lens: Lens) -> Option<String> {
        let now = self.world.head();
        let stands = |tie: Tie| self.world.since(&tie, now) == Some(at);
        let (actor, what, subject) = match self.world.change(at) {
            Change::Follow { follower, followee } if followee.as_str() == viewer => {
                let tie = Tie::Follow(follower.to_string(), followee.to_string());
                (follower, stands(tie).then_some("Follow")?, None)
            }
            Change::Like { user, post } if post.author.as_str() == viewer => {
                let tie = Tie::Like(user.to_string(), post.id.revision().get());
                (user, stands(tie).then_some("Like")?, Some(post.id))
            }
            Change::Repost { user, post } if post.author.as_str() == viewer => {
                let tie = Tie::Repost(user.to_string(), post.id.revision().get());
                (user, stands(tie).then_some("Repost")?, Some(post.id))
            }
            Change::Publish { author, content, .. } => {
                let parent = content.reply_to.as_ref().map(|reply_to| &reply_to.parent);
                let is_own = |post: &PostRef| post.author.as_str() == viewer;
                if let Some(parent) = parent.filter(|parent| is_own(parent)) {
                    (author, "Reply", Some(parent.id))
                } else if let Some(quote) = content.quote.as_ref().filter(|quote| is_own(quote)) {
                    (author, "Quote", Some(quote.id))
                } else if self.world.mentions(content, viewer, at)
                    && !self.world.are_apart(viewer, author.as_str(), at)
                {
                    (author, "Mention", None)
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        let place = |subject: PostId| subject.revision().get();
        let is_gone = subject.is_some_and(|it| self.world.retracted(place(it)).is_some())
            || self.world.retracted(at).is_some();
        let is_shown = actor.as_str() != viewer
            && !is_gone
            && !self.world.is_hidden(viewer, actor.as_str(), lens);
        let subject = subject.map_or_else(String::new, |subject| format!(" {subject}"));
        is_shown.then(|| format!("{what} by {actor}{subject}"))
    }

    /// One change, by the engine and in the world.
    async fn make_a_change(&mut self) {
        let change = loop {
            if let Some(change) = any_change(&mut self.random, &self.world, USERS) {
                break change;
            }
        };
        let revision = make(self.core.engine(), &change).await;
        assert_eq!(self.world.push(change), revision.get());
    }
}
