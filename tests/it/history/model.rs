//! What a live feed must show, computed from the log alone, and the checks of what clients saw.
//!
//! Written against the contract and not against the server: nothing here is shared with it but the
//! log's entries, which are the one record of what was made and in which order.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel::api::v1::feed_event::{Event, author_removed};
use whimbrel::api::v1::watch_feed_response::Message;
use whimbrel::log::Entry;
use whimbrel::model::Change;

/// A moment of the test, told by a counter that all its parts share.
pub(crate) type Tick = u64;

/// Everything that was made.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// By revision.
    changes: BTreeMap<u64, Change>,
    /// By user and author: each span of revisions in which the one followed the other.
    follows: BTreeMap<(String, String), Vec<Span>>,
    /// By user and author: when unfollows were asked for.
    unfollows: BTreeMap<(String, String), Vec<Unfollow>>,
}

/// Followed after `from`, up to `until`; still, if there is none.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    until: Option<u64>,
}

/// An unfollow that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfollow {
    pub(crate) asked: Tick,
    /// Where the answer said that it is; `None` if the answer that said so was lost.
    pub(crate) revision: Option<u64>,
}

/// What one device of a user saw, over all its streams.
#[derive(Debug)]
pub(crate) struct History {
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

impl World {
    pub(crate) fn new(log: Vec<Entry>) -> Self {
        let mut world = Self::default();
        for Entry { revision, event } in log {
            let revision = revision.get();
            match &event.change {
                Change::Follow { follower, followee } => {
                    let spans = world.follows.entry((follower.to_string(), followee.to_string()));
                    spans.or_default().push(Span { from: revision, until: None });
                }
                Change::Unfollow { follower, followee } => {
                    let spans = world.follows.entry((follower.to_string(), followee.to_string()));
                    spans.or_default().last_mut().unwrap().until = Some(revision);
                }
                _ => {}
            }
            world.changes.insert(revision, event.change);
        }
        world
    }

    pub(crate) fn take_unfollow(&mut self, user: &str, author: &str, unfollow: Unfollow) {
        self.unfollows.entry((user.to_owned(), author.to_owned())).or_default().push(unfollow);
    }

    /// The acknowledged post is in the log, where the answer said, and nowhere else.
    pub(crate) fn check_post(&self, author: &str, text: &str, revision: u64) {
        let is_it = |change: &Change| match change {
            Change::Publish { author: by, content, .. } => {
                by.as_str() == author && content.text.as_str() == text
            }
            _ => false,
        };
        let places: Vec<_> =
            self.changes.iter().filter(|(_, change)| is_it(change)).map(|(at, _)| *at).collect();
        assert_eq!(places, [revision], "{author}'s post {text:?}");
    }

    /// Everything the contract says of `history`, which begins before the first change and ends
    /// level with the log.
    pub(crate) fn check(&self, history: &History) {
        check_chain(history);
        let seen: Vec<_> = history.streams.iter().flatten().flat_map(events).collect();
        self.check_order(history, &seen);
        for seen in &seen {
            self.check_truth(&history.user, seen);
        }
        self.check_completeness(history, &seen);
    }

    /// Ordered and unique, over all streams of the device.
    fn check_order(&self, history: &History, seen: &[Seen<'_>]) {
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

    /// What was shown happened, and belongs into this feed.
    fn check_truth(&self, user: &str, seen: &Seen<'_>) {
        let change = &self.changes[&seen.revision];
        let is_true = match (seen.event, change) {
            (Event::Posted(posted), Change::Publish { author, content, .. }) => {
                let item = posted.item.as_ref().unwrap();
                let post = item.post.as_ref().unwrap();
                item.revision == seen.revision
                    && post.revision == seen.revision
                    && post.author_id == author.as_str()
                    && post.text == content.text.as_str()
                    && self.is_in_feed(user, author.as_str(), seen.revision)
            }
            (Event::AuthorAdded(added), Change::Follow { follower, followee }) => {
                follower.as_str() == user && added.author_id == followee.as_str()
            }
            (Event::AuthorRemoved(removed), Change::Unfollow { follower, followee }) => {
                follower.as_str() == user
                    && removed.author_id == followee.as_str()
                    && removed.reason() == author_removed::Reason::Unfollow
            }
            _ => false,
        };
        assert!(is_true, "{user} was shown {:?} at {}, but {change:?}", seen.event, seen.revision);
    }

    /// What belongs into the feed was shown.
    fn check_completeness(&self, history: &History, seen: &[Seen<'_>]) {
        let user = history.user.as_str();
        let shown: BTreeSet<u64> = seen.iter().map(|seen| seen.revision).collect();
        for (&revision, change) in &self.changes {
            if shown.contains(&revision) {
                continue;
            }
            let missing = match change {
                Change::Follow { follower, .. } | Change::Unfollow { follower, .. } => {
                    follower.as_str() == user
                }
                Change::Publish { author, .. } => {
                    self.is_in_feed(user, author.as_str(), revision)
                        && (history.unbroken
                            || !self.was_unfollowed_in_between(
                                user,
                                author.as_str(),
                                revision,
                                seen,
                            ))
                }
                _ => false,
            };
            assert!(!missing, "{user} was not shown {change:?} at {revision}");
        }
    }

    fn is_in_feed(&self, user: &str, author: &str, revision: u64) -> bool {
        let spans = self.follows.get(&(user.to_owned(), author.to_owned()));
        let is_followed =
            |span: &Span| span.from < revision && span.until.is_none_or(|until| revision < until);
        user == author || spans.is_some_and(|spans| spans.iter().any(is_followed))
    }

    /// Rule 4: a post may be left out if its author was unfollowed later, by the time that the
    /// stream passed it; the moment at which the unfollow was asked for is the earliest that this
    /// can have been.
    fn was_unfollowed_in_between(
        &self,
        user: &str,
        author: &str,
        revision: u64,
        seen: &[Seen<'_>],
    ) -> bool {
        let key = (user.to_owned(), author.to_owned());
        let passed = seen.iter().find(|seen| seen.revision > revision).map_or(u64::MAX, |s| s.tick);
        let explains = |unfollow: &Unfollow| {
            unfollow.asked < passed && unfollow.revision.is_none_or(|at| at > revision)
        };
        self.unfollows.get(&key).is_some_and(|unfollows| unfollows.iter().any(explains))
    }
}

/// Each stream opens once and first, catches up once, and every batch begins at the cursor before.
fn check_chain(history: &History) {
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
