//! Catch-up: the events that a live stream missed, read from memory, or from the index and the log.
//! It never returns a post or repost that was retracted since.

use std::sync::Arc;

use super::delivery::{FeedKind, deliveries};
use super::filter::{EventFilter, Filtered, filter_notification};
use super::stream::BATCH_OVERHEAD_BYTES;
use super::{Error, FeedEvent, FeedEventKind, LiveFeeds, Watched};
use crate::model::{Change, Cursor, Revision, Timestamp, UserId};
use crate::query::{
    Backlog, BacklogEntry, BacklogKind, FeedBacklog, FeedSnapshot, NotificationBacklog,
    NotificationEvent, NotificationSnapshot, Query, SnapshotBounds, Source, Unanswered,
};
use crate::state::{AppliedEvent, MissingEvent, Repost, TimelineEvent};

/// Events that are read from the log at once. Events of ordinary size fill about one batch.
const READ_EVENTS_MAX: usize = 64;

/// The first events that a stream missed, as many as fit into a batch, but at least one if there is
/// one.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) user: UserId,
    pub(super) watched: Watched,
    pub(super) after: Revision,
    pub(super) until: Revision,
    pub(super) kind: BacklogKind,
    pub(super) events_max: usize,
    pub(super) bytes_max: usize,
}

/// Fills a batch with events up to a number of bytes.
struct BatchFiller {
    bytes: usize,
    bytes_max: usize,
    batch: Backlog<Arc<FeedEvent>>,
}

impl Query for CatchUp {
    type Answer = Backlog<Arc<FeedEvent>>;

    fn answer(&self, source: &Source<'_>) -> Result<Backlog<Arc<FeedEvent>>, Unanswered> {
        let Self { after, until, kind, events_max, bytes_max, .. } = *self;
        let user = self.user.clone();
        let filler = BatchFiller::new(after, bytes_max);
        match self.watched {
            Watched::Feed { all_replies } => {
                let backlog = FeedBacklog { user, all_replies, after, until, kind, events_max };
                let filter = EventFilter { source, user: &self.user, all_replies };
                filler.fill_feed(&filter, backlog.answer(source)?)
            }
            Watched::Notifications => {
                let backlog = NotificationBacklog { user, after, until, kind, events_max };
                Ok(filler.fill_notifications(source, &self.user, backlog.answer(source)?))
            }
        }
    }
}

impl LiveFeeds {
    /// The cursor at which a stream starts with a snapshot of the newest entries.
    pub(super) async fn snapshot(
        &self,
        user: &UserId,
        watched: Watched,
        items_max: usize,
    ) -> Result<Cursor, Error> {
        let (reader, user) = (&self.0.reader, user.clone());
        let SnapshotBounds { oldest, at } = match watched {
            Watched::Feed { all_replies } => {
                reader.ask(FeedSnapshot { user, all_replies, items_max }).await?
            }
            Watched::Notifications => reader.ask(NotificationSnapshot { user, items_max }).await?,
        };
        let from = oldest.map_or(at, Revision::previous);
        let snapshot_until = if from < at { at } else { Revision::ZERO };
        Ok(Cursor { snapshot_until, ..reader.state().cursor_after(from) })
    }
}

impl BatchFiller {
    fn new(after: Revision, bytes_max: usize) -> Self {
        let batch = Backlog { events: Vec::new(), reached: after };
        Self { bytes: BATCH_OVERHEAD_BYTES, bytes_max, batch }
    }

    /// Adds the event at `revision`, if it belongs to the stream. False if the batch is full.
    fn push(&mut self, revision: Revision, event: Option<Arc<FeedEvent>>) -> bool {
        if let Some(event) = event {
            self.bytes += event.wire_bytes_max();
            if self.bytes > self.bytes_max && !self.batch.events.is_empty() {
                return false;
            }
            self.batch.events.push(event);
        }
        self.batch.reached = revision;
        true
    }

    fn fill_feed(
        mut self,
        filter: &EventFilter<'_>,
        backlog: Backlog<BacklogEntry>,
    ) -> Result<Backlog<Arc<FeedEvent>>, Unanswered> {
        let after = self.batch.reached;
        let Backlog { events: entries, reached } = backlog;
        // One event at a time from memory: the first events that it has are a batch already.
        let chunk = if filter.source.is_memory() { 1 } else { READ_EVENTS_MAX };
        for entries in entries.chunks(chunk) {
            let events = match load(filter, entries) {
                Err(Unanswered::NotInMemory) if self.batch.reached > after => {
                    return Ok(self.batch);
                }
                events => events?,
            };
            for (entry, event) in entries.iter().zip(events) {
                if !self.push(entry.revision, event) {
                    return Ok(self.batch);
                }
            }
        }
        Ok(Backlog { reached, ..self.batch })
    }

    fn fill_notifications(
        mut self,
        source: &Source<'_>,
        user: &UserId,
        backlog: Backlog<NotificationEvent>,
    ) -> Backlog<Arc<FeedEvent>> {
        let Backlog { events, reached } = backlog;
        for event in events {
            let (revision, event) = match event {
                NotificationEvent::New(notification) => {
                    let revision = notification.revision;
                    let kind = FeedEventKind::Notified(notification);
                    (revision, Some(Arc::new(FeedEvent::new(revision, kind))))
                }
                NotificationEvent::Change(revision, change) => {
                    let kind = FeedKind::Notifications;
                    (revision, event_of(user, kind, revision, &change, false))
                }
            };
            let event = event.filter(|event| {
                !event.has_consequences()
                    || !matches!(filter_notification(source.state, user, event), Filtered::Dropped)
            });
            if !self.push(revision, event) {
                return self.batch;
            }
        }
        Backlog { reached, ..self.batch }
    }
}

/// The feed events of `entries`; `None` for those that were retracted or do not belong to the feed.
fn load(
    filter: &EventFilter<'_>,
    entries: &[BacklogEntry],
) -> Result<Vec<Option<Arc<FeedEvent>>>, Unanswered> {
    let source = filter.source;
    let revisions: Vec<_> = entries.iter().map(|entry| entry.revision).collect();
    let loaded = source.existing_events(&revisions)?;
    let reposted: Vec<_> = loaded
        .iter()
        .filter_map(|event| match event {
            Some(TimelineEvent::Repost(repost)) => Some(repost.post.id.revision()),
            _ => None,
        })
        .collect();
    let mut originals = source.existing_events(&reposted)?.into_iter();
    let mut events = Vec::with_capacity(loaded.len());
    for (entry, event) in entries.iter().zip(loaded) {
        let new = |kind| Arc::new(FeedEvent::new(entry.revision, kind));
        events.push(match event {
            None => None,
            Some(TimelineEvent::Post(post)) => Some(new(FeedEventKind::Posted(post))),
            Some(TimelineEvent::Repost(repost)) => {
                reposted_event(&repost, originals.next().flatten())?.map(new)
            }
            // A deleted post is no entry, and its deletion is an event of its own.
            Some(TimelineEvent::Erased(_)) => None,
            Some(TimelineEvent::Other(change)) => {
                let (user, from_author) = (filter.user, entry.is_from_author);
                let event = event_of(user, FeedKind::Home, entry.revision, &change, from_author);
                event.map_or(Ok(None), |event| with_consequences(filter, event))?
            }
        });
    }
    Ok(events)
}

/// The event of a repost of `original`; `None` if the original was deleted.
fn reposted_event(
    repost: &Repost,
    original: Option<TimelineEvent>,
) -> Result<Option<FeedEventKind>, MissingEvent> {
    match original {
        Some(TimelineEvent::Post(post)) => {
            Ok(Some(FeedEventKind::Reposted { post, by: repost.by.clone() }))
        }
        Some(_) => Err(MissingEvent { revision: repost.post.id.revision() }),
        None => Ok(None),
    }
}

/// Adds the consequences of `event` for a feed; `None` if the event does not belong to it.
fn with_consequences(
    filter: &EventFilter<'_>,
    event: Arc<FeedEvent>,
) -> Result<Option<Arc<FeedEvent>>, Unanswered> {
    if !event.has_consequences() {
        return Ok(Some(event));
    }
    Ok(match filter.consequences(&event)? {
        Filtered::Extended(extended) => Some(extended),
        Filtered::Dropped => None,
        Filtered::Kept => Some(event),
    })
}

/// The event of `change` in a feed of `user`, if there is one. Not for changes that publish a post
/// or add a notification.
fn event_of(
    user: &UserId,
    feed: FeedKind,
    revision: Revision,
    change: &Change,
    is_from_author: bool,
) -> Option<Arc<FeedEvent>> {
    let deliveries = deliveries(revision, Timestamp::default(), change, AppliedEvent::default());
    deliveries.into_iter().find_map(|delivery| delivery.for_feed(user, feed, is_from_author))
}
