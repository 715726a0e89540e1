//! The events that a live feed must deliver, computed from the log alone, and the checks of the
//! events that clients saw.
//!
//! Written from the contract, not from the server: it shares only the log's entries with it.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::api::v1::RemovedReason;
use whimbrel::api::v1::feed_event::Change as FeedChange;
use whimbrel::api::v1::watch_feed_response::Kind;
use whimbrel::model::Change;
use whimbrel::storage::LogEntry;

use crate::harness::without_epoch;
use crate::oracle::history::Oracle;

/// A moment of the test, by a counter that all its tasks share.
pub(crate) type Tick = u64;

/// All changes, and the rules that streams are checked by.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    oracle: Oracle,
    /// The ticks of the requests, by the revisions of their changes. A change whose response was
    /// lost is missing: it may have been requested at any time.
    requested: BTreeMap<u64, Tick>,
}

/// The messages to one device of a user, over all its streams.
#[derive(Debug)]
pub(crate) struct DeviceHistory {
    pub(crate) user: String,
    /// The messages of each stream in order, each with the tick of its arrival.
    pub(crate) streams: Vec<Vec<(Tick, Kind)>>,
    /// Whether it was never cut off and never overrun: then it must have every event.
    pub(crate) unbroken: bool,
}

/// One event, as a client saw it.
struct SeenEvent<'a> {
    tick: Tick,
    revision: u64,
    event: &'a FeedChange,
}

impl Contract {
    pub(crate) fn new(log: Vec<LogEntry>) -> Self {
        let mut contract = Self::default();
        for LogEntry { revision, event } in log {
            assert_eq!(contract.oracle.push(event.change), revision.get());
        }
        contract
    }

    /// Notes that the change at `revision` was requested at `tick`.
    pub(crate) fn set_requested(&mut self, revision: u64, tick: Tick) {
        self.requested.insert(revision, tick);
    }

    /// The acknowledged post is in the log once, at the revision of the response.
    pub(crate) fn check_post(&self, author: &str, text: &str, revision: u64) {
        let is_it = |post: &u64| {
            self.oracle.author(*post) == author && self.oracle.content(*post).text.as_str() == text
        };
        let found: Vec<_> = self.oracle.posts().into_iter().filter(is_it).collect();
        assert_eq!(found, [revision], "{author}'s post {text:?}");
    }

    /// Checks `history`, which begins before the first change and ends after the last.
    pub(crate) fn check(&self, history: &DeviceHistory) {
        check_chain(history);
        let seen: Vec<_> = history.streams.iter().flatten().flat_map(events).collect();
        self.check_order(history, &seen);
        for seen in &seen {
            self.check_correctness(history, seen);
        }
        self.check_completeness(history, &seen);
    }

    /// Events are in order and unique, over all streams of the device.
    fn check_order(&self, history: &DeviceHistory, seen: &[SeenEvent<'_>]) {
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

    /// A delivered event is one that this feed may deliver.
    fn check_correctness(&self, history: &DeviceHistory, seen: &SeenEvent<'_>) {
        let (user, at) = (&history.user, seen.revision);
        let shown = in_short(seen);
        let mut moments = self.moments(history, at, seen.tick);
        assert!(
            moments.any(|now| self.oracle.delivered(user, at, now, false).as_ref() == Some(&shown)),
            "{user} was shown {shown:?} at {at}, but {:?}",
            self.oracle.change(at)
        );
    }

    /// A change without an event is one for which this feed may deliver none.
    fn check_completeness(&self, history: &DeviceHistory, seen: &[SeenEvent<'_>]) {
        let user = &history.user;
        let shown: BTreeSet<u64> = seen.iter().map(|seen| seen.revision).collect();
        for at in (1..=self.oracle.head()).filter(|at| !shown.contains(at)) {
            let next = seen.partition_point(|seen| seen.revision < at);
            let passed = seen.get(next).map_or(u64::MAX, |seen| seen.tick);
            let mut moments = self.moments(history, at, passed);
            assert!(
                moments.any(|now| self.oracle.delivered(user, at, now, false).is_none()),
                "{user} was not shown {:?} at {at}",
                self.oracle.change(at)
            );
        }
    }

    /// The revisions whose state a stream may have used for the change at `at`, if it passed that
    /// at `passed`: `at` itself, and later changes that were requested by then (rule 4). A live
    /// stream delivers posts that all followers see without another check.
    fn moments(
        &self,
        history: &DeviceHistory,
        at: u64,
        passed: Tick,
    ) -> impl Iterator<Item = u64> + use<> {
        let is_plain = match self.oracle.change(at) {
            Change::Publish { author, content, .. } => !content.is_conditional(author),
            Change::Repost { .. } | Change::Unblock { .. } | Change::Unmute { .. } => false,
            _ => true,
        };
        let later = if history.unbroken && is_plain {
            Vec::new()
        } else {
            self.oracle.later_influences(&history.user, at)
        };
        let was_requested = |at: &u64| self.requested.get(at).is_none_or(|&tick| tick < passed);
        let later: Vec<_> = later.into_iter().filter(was_requested).collect();
        std::iter::once(at).chain(later)
    }
}

/// The event in short.
fn in_short(seen: &SeenEvent<'_>) -> String {
    match seen.event {
        FeedChange::Posted(posted) => {
            let item = posted.item.as_ref().unwrap();
            let post = item.post.as_ref().unwrap();
            assert_eq!((item.revision, post.revision), (seen.revision, seen.revision));
            assert_eq!(item.reposted_by_user_id, "");
            format!("{}: {}", post.author_id, post.text)
        }
        FeedChange::Reposted(reposted) => {
            let item = reposted.item.as_ref().unwrap();
            assert_eq!(item.revision, seen.revision);
            let post = item.post.as_ref().unwrap();
            format!("{} reposted {}", item.reposted_by_user_id, without_epoch(&post.post_id))
        }
        FeedChange::Unreposted(unreposted) => {
            format!("{} unreposted {}", unreposted.user_id, without_epoch(&unreposted.post_id))
        }
        FeedChange::Deleted(deleted) => format!("deleted {}", without_epoch(&deleted.post_id)),
        FeedChange::AuthorAdded(added) => format!("+{}", added.author_id),
        FeedChange::AuthorShown(shown) => format!("shown {}", shown.author_id),
        FeedChange::AuthorRemoved(removed) => {
            let why = match removed.reason() {
                RemovedReason::Unspecified => "for no reason",
                RemovedReason::Unfollow => "unfollowed",
                RemovedReason::Block => "blocked",
                RemovedReason::Mute => "muted",
            };
            format!("-{} {why}", removed.author_id)
        }
    }
}

/// Each stream is opened first and once, catches up at most once, and every batch begins at the
/// last cursor.
fn check_chain(history: &DeviceHistory) {
    let user = &history.user;
    let mut resumed_from = None;
    for stream in &history.streams {
        let mut last = None;
        let mut caught_up = 0;
        for (at, (_, message)) in stream.iter().enumerate() {
            let is_opened = matches!(message, Kind::Opened(_));
            assert_eq!(is_opened, at == 0, "{user}: opened comes first and once");
            let cursor = match message {
                Kind::Opened(opened) => {
                    if let Some(resumed_from) = &resumed_from {
                        assert_eq!(&opened.cursor, resumed_from, "{user}: where a stream resumes");
                    }
                    &opened.cursor
                }
                Kind::Batch(batch) => {
                    assert_eq!(Some(&batch.prev_cursor), last, "{user}: the chain of cursors");
                    assert!(!batch.events.is_empty(), "{user}: an empty batch");
                    assert!(batch.events.len() <= 256, "{user}: a batch that is too long");
                    &batch.cursor
                }
                Kind::CaughtUp(it) => {
                    caught_up += 1;
                    &it.cursor
                }
                Kind::Bookmark(bookmark) => &bookmark.cursor,
                Kind::Closing(closing) => {
                    assert_eq!(at + 1, stream.len(), "{user}: closing comes last");
                    &closing.cursor
                }
                Kind::Reset(_) => panic!("{user}: no reset was requested"),
            };
            last = Some(cursor);
        }
        assert!(caught_up <= 1, "{user}: caught up more than once");
        if last.is_some() {
            resumed_from = last.cloned();
        }
    }
}

fn events((tick, message): &(Tick, Kind)) -> Vec<SeenEvent<'_>> {
    let Kind::Batch(batch) = message else { return Vec::new() };
    let seen = batch.events.iter().map(|event| SeenEvent {
        tick: *tick,
        revision: event.revision,
        event: event.change.as_ref().unwrap(),
    });
    seen.collect()
}
