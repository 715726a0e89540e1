//! What a live feed must show, computed from the log alone, and the checks of what clients saw.
//!
//! Written against the contract and not against the server: nothing here is shared with it but the
//! log's entries, which are the one record of what was made and in which order.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::api::v1::feed_event::{Event, author_removed};
use whimbrel::api::v1::watch_feed_response::Message;
use whimbrel::model::Change;
use whimbrel::storage::LogEntry;

use crate::oracle::world::World;

/// A moment of the test, told by a counter that all its parts share.
pub(crate) type Tick = u64;

/// Everything that was made.
#[derive(Debug, Default)]
pub(crate) struct Record {
    world: World,
    /// When changes were asked for, by the revisions that they got. Those whose answers were lost
    /// may have been asked for at any time.
    asked: BTreeMap<u64, Tick>,
}

/// What one device of a user saw, over all its streams.
#[derive(Debug)]
pub(crate) struct TimelineKind {
    pub(crate) user: String,
    /// Each stream's messages, in order, with when they came.
    pub(crate) streams: Vec<Vec<(Tick, Message)>>,
    /// Whether its reader was never cut off and never behind: then nothing may be left out.
    pub(crate) unbroken: bool,
}

/// One event, as a client saw it.
struct Seen<'a> {
    tick: Tick,
    revision: u64,
    event: &'a Event,
}

impl Record {
    pub(crate) fn new(log: Vec<LogEntry>) -> Self {
        let mut record = Self::default();
        for LogEntry { revision, event } in log {
            assert_eq!(record.world.push(event.change), revision.get());
        }
        record
    }

    /// The change at `revision` was asked for at `asked`.
    pub(crate) fn take_asked(&mut self, revision: u64, asked: Tick) {
        self.asked.insert(revision, asked);
    }

    /// The acknowledged post is in the log, where the answer said, and nowhere else.
    pub(crate) fn check_post(&self, author: &str, text: &str, revision: u64) {
        let is_it = |place: &u64| {
            self.world.author(*place) == author && self.world.content(*place).text.as_str() == text
        };
        let places: Vec<_> = self.world.posts().into_iter().filter(is_it).collect();
        assert_eq!(places, [revision], "{author}'s post {text:?}");
    }

    /// Everything the contract says of `history`, which begins before the first change and ends
    /// level with the log.
    pub(crate) fn check(&self, history: &TimelineKind) {
        check_chain(history);
        let seen: Vec<_> = history.streams.iter().flatten().flat_map(events).collect();
        self.check_order(history, &seen);
        for seen in &seen {
            self.check_truth(history, seen);
        }
        self.check_completeness(history, &seen);
    }

    /// Ordered and unique, over all streams of the device.
    fn check_order(&self, history: &TimelineKind, seen: &[Seen<'_>]) {
        for pair in seen.windows(2) {
            let [one, next] = pair else { continue };
            assert!(
                one.revision < next.revision,
                "{} saw revision {} after {}",
                history.user,
                next.revision,
                one.revision
            );
        }
    }

    /// What was shown happened, and belonged into this feed.
    fn check_truth(&self, history: &TimelineKind, seen: &Seen<'_>) {
        let (user, at) = (&history.user, seen.revision);
        let shown = in_short(seen);
        let mut moments = self.moments(history, at, seen.tick);
        assert!(
            moments.any(|now| self.world.told(user, at, now, false).as_ref() == Some(&shown)),
            "{user} was shown {shown:?} at {at}, but {:?}",
            self.world.change(at)
        );
    }

    /// What belonged into the feed, whenever it was looked at, was shown.
    fn check_completeness(&self, history: &TimelineKind, seen: &[Seen<'_>]) {
        let user = &history.user;
        let shown: BTreeSet<u64> = seen.iter().map(|seen| seen.revision).collect();
        for at in (1..=self.world.head()).filter(|at| !shown.contains(at)) {
            let next = seen.partition_point(|seen| seen.revision < at);
            let passed = seen.get(next).map_or(u64::MAX, |seen| seen.tick);
            let mut moments = self.moments(history, at, passed);
            assert!(
                moments.any(|now| self.world.told(user, at, now, false).is_none()),
                "{user} was not shown {:?} at {at}",
                self.world.change(at)
            );
        }
    }

    /// The states by which a stream may have told what happened at `at`, if it passed that at
    /// `passed`: the one at that moment, and those that later changes made which were asked for by
    /// then (rule 4). A live stream takes posts that all followers see as they come.
    fn moments(
        &self,
        history: &TimelineKind,
        at: u64,
        passed: Tick,
    ) -> impl Iterator<Item = u64> + use<> {
        let is_plain = match self.world.change(at) {
            Change::Publish { author, content, .. } => !content.is_conditional(author),
            Change::Repost { .. } | Change::Unblock { .. } | Change::Unmute { .. } => false,
            _ => true,
        };
        let later = if history.unbroken && is_plain {
            Vec::new()
        } else {
            self.world.matters_after(&history.user, at)
        };
        let asked = |change: &u64| self.asked.get(change).is_none_or(|&asked| asked < passed);
        let later: Vec<_> = later.into_iter().filter(asked).collect();
        std::iter::once(at).chain(later)
    }
}

/// What was shown, in few words.
fn in_short(seen: &Seen<'_>) -> String {
    match seen.event {
        Event::Posted(posted) => {
            let item = posted.item.as_ref().unwrap();
            let post = item.post.as_ref().unwrap();
            assert_eq!((item.revision, post.revision), (seen.revision, seen.revision));
            assert_eq!(item.reposted_by_user_id, "");
            format!("{}: {}", post.author_id, post.text)
        }
        Event::Reposted(reposted) => {
            let item = reposted.item.as_ref().unwrap();
            assert_eq!(item.revision, seen.revision);
            let post = item.post.as_ref().unwrap();
            format!("{} reposted {}", item.reposted_by_user_id, post.post_id)
        }
        Event::Unreposted(unreposted) => {
            format!("{} unreposted {}", unreposted.user_id, unreposted.post_id)
        }
        Event::Deleted(deleted) => format!("deleted {}", deleted.post_id),
        Event::AuthorAdded(added) => format!("+{}", added.author_id),
        Event::AuthorShown(shown) => format!("shown {}", shown.author_id),
        Event::AuthorRemoved(removed) => {
            let why = match removed.reason() {
                author_removed::Reason::Unspecified => "for no reason",
                author_removed::Reason::Unfollow => "unfollowed",
                author_removed::Reason::Block => "blocked",
                author_removed::Reason::Mute => "muted",
            };
            format!("-{} {why}", removed.author_id)
        }
    }
}

/// Each stream opens once and first, catches up once, and every batch begins at the cursor before.
fn check_chain(history: &TimelineKind) {
    let user = &history.user;
    let mut resumed_from = None;
    for stream in &history.streams {
        let mut last = None;
        let mut caught_up = 0;
        for (at, (_, message)) in stream.iter().enumerate() {
            let is_opened = matches!(message, Message::Opened(_));
            assert_eq!(is_opened, at == 0, "{user}: opened comes first and once");
            let cursor = match message {
                Message::Opened(opened) => {
                    if let Some(resumed_from) = &resumed_from {
                        assert_eq!(&opened.cursor, resumed_from, "{user}: where a stream resumes");
                    }
                    &opened.cursor
                }
                Message::Batch(batch) => {
                    assert_eq!(Some(&batch.prev_cursor), last, "{user}: the chain of cursors");
                    assert!(!batch.events.is_empty(), "{user}: an empty batch");
                    assert!(batch.events.len() <= 256, "{user}: a batch that is too long");
                    &batch.cursor
                }
                Message::CaughtUp(level) => {
                    caught_up += 1;
                    &level.cursor
                }
                Message::Bookmark(bookmark) => &bookmark.cursor,
                Message::Closing(closing) => {
                    assert_eq!(at + 1, stream.len(), "{user}: closing comes last");
                    &closing.cursor
                }
                Message::Reset(_) => panic!("{user}: nobody asked for a reset"),
            };
            last = Some(cursor);
        }
        assert!(caught_up <= 1, "{user}: caught up more than once");
        if last.is_some() {
            resumed_from = last.cloned();
        }
    }
}

fn events((tick, message): &(Tick, Message)) -> Vec<Seen<'_>> {
    let Message::Batch(batch) = message else { return Vec::new() };
    let seen = batch.events.iter().map(|event| Seen {
        tick: *tick,
        revision: event.revision,
        event: event.event.as_ref().unwrap(),
    });
    seen.collect()
}
