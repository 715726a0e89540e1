//! What a live stream missed: read from memory, else from the log by the few who may wait for the
//! disk.

use std::sync::Arc;

use super::delivery::{DeliveryContext, FeedKind, effects};
use super::filter::{EventFilter, Filtered, Reading, sift_notification};
use super::stream::BATCH_OVERHEAD_BYTES;
use super::{Error, FeedEvent, FeedEventKind, LiveFeeds, Watched};
use crate::model::{Change, Cursor, Revision, Timestamp, UserId};
use crate::query::{
    Backlog, BacklogKind, BacklogQuery, PageQuery, Spot, Told, ToldBacklog, ToldQuery,
};
use crate::state::MissingEvent;
use crate::state::TimelineEvent;

/// Events read from the log at once: of ordinary ones not much more than a batch takes.
const READ_EVENTS_MAX: usize = 64;

/// A part of what a stream missed.
#[derive(Debug)]
pub(super) struct CaughtUpPart {
    /// What happened, oldest first; at most as much as fits into a batch, but for one event.
    pub(super) events: Vec<Arc<FeedEvent>>,
    /// Up to here there is nothing else.
    pub(super) reached: Revision,
}

/// Which part of what a stream missed.
#[derive(Debug)]
pub(super) struct BacklogPart<'a> {
    pub(super) user: &'a UserId,
    pub(super) watched: Watched,
    pub(super) after: Revision,
    pub(super) until: Revision,
    pub(super) kind: BacklogKind,
}

/// A place, and the event there; none if that concerns nobody any more.
type Found = (Revision, Option<Arc<FeedEvent>>);

impl LiveFeeds {
    /// The beginning of a part of what a stream missed.
    pub(super) async fn missed(&self, part: BacklogPart<'_>) -> Result<CaughtUpPart, Error> {
        let BacklogPart { user, watched, after, until, kind } = part;
        let (view, events_max) = (&self.0.view, self.0.limits.batch_events_max);
        let bytes_max = self.0.limits.batch_bytes_max;
        let user = user.clone();
        match watched {
            Watched::Feed { all_replies } => {
                let query = BacklogQuery {
                    user: user.clone(),
                    all_replies,
                    after,
                    until,
                    kind,
                    events_max,
                };
                let backlog = match view.backlog_at_hand(&query) {
                    Some(backlog) => backlog,
                    None => view.read(move |view| view.backlog(&query)).await?,
                };
                self.load(user, all_replies, backlog).await
            }
            Watched::Notifications => {
                let query = ToldQuery { user: user.clone(), after, until, kind, events_max };
                let ToldBacklog { told, reached } = match view.told_backlog_at_hand(&query) {
                    Some(told) => told,
                    None => view.read(move |view| view.told_backlog(&query)).await?,
                };
                let event_of = |told| {
                    let (revision, event) = event_of_told(told, &user);
                    let event = event.filter(|event| {
                        !event.has_consequences()
                            || !matches!(sift_notification(view, &user, event), Filtered::Dropped)
                    });
                    Ok((revision, event))
                };
                let events = told.into_iter().map(event_of);
                first_of(events, reached, bytes_max)
            }
        }
    }

    /// The events of the beginning of `backlog`.
    async fn load(
        &self,
        user: UserId,
        all_replies: bool,
        backlog: Backlog,
    ) -> Result<CaughtUpPart, Error> {
        let bytes_max = self.0.limits.batch_bytes_max;
        let Backlog { events: spots, reached } = backlog;
        // A reader that is just behind finds all it missed cached.
        let at_hand = spots.iter().map_while(|spot| self.event_at_hand(spot.revision));
        let at_hand: Vec<_> = at_hand.collect();
        if at_hand.len() == spots.len() {
            return first_of(at_hand.into_iter().map(Ok), reached, bytes_max);
        }
        if let Some((last, _)) = at_hand.last() {
            let reached = *last;
            return first_of(at_hand.into_iter().map(Ok), reached, bytes_max);
        }
        let view = &self.0.view;
        view.read(move |view| {
            let (user, reading) = (&user, Reading::Blocking);
            let sieve = EventFilter { view, user, all_replies, reading };
            first_of(read(&sieve, &spots), reached, bytes_max)
        })
        .await
    }

    /// Where a stream starts that begins with the newest items of what is watched of `user`.
    pub(super) async fn snapshot(
        &self,
        user: &UserId,
        watched: Watched,
        items_max: usize,
    ) -> Result<Cursor, Error> {
        let (view, user) = (&self.0.view, user.clone());
        let (oldest, at) = match watched {
            Watched::Feed { all_replies } => {
                let before = Revision::MAX;
                let query = PageQuery { user, before, items_max, with_own: true, all_replies };
                let page = match view.feed_page_at_hand(&query) {
                    Some(page) => page,
                    None => view.read(move |view| view.feed_page(&query)).await?,
                };
                (page.items.last().map(|oldest| oldest.revision), page.at)
            }
            Watched::Notifications => {
                // What is told later is told as it happens.
                let at = view.applied();
                let oldest = view.read(move |view| view.oldest_told(&user, items_max)).await?;
                (oldest.filter(|&oldest| oldest <= at), at)
            }
        };
        let from = oldest.map_or(at, Revision::previous);
        let snapshot_until = if from < at { at } else { Revision::ZERO };
        Ok(Cursor { snapshot_until, ..self.cursor_after(from) })
    }

    /// The feed event at `revision` if that is a post or a repost, and in memory.
    fn event_at_hand(&self, revision: Revision) -> Option<Found> {
        let view = &self.0.view;
        let kind = match view.happened_at_hand(revision)? {
            TimelineEvent::Post(post) => FeedEventKind::Posted(post),
            TimelineEvent::Repost(repost) => {
                let post = view.cached_post(repost.post.id.revision())?;
                FeedEventKind::Reposted { post, by: repost.by.clone() }
            }
            TimelineEvent::Other(_) => return None,
        };
        Some((revision, Some(Arc::new(FeedEvent::new(revision, kind)))))
    }
}

/// The events of a feed at `spots`, read from the log as they are asked for; none where that is gone
/// since.
fn read<'a>(
    sieve: &'a EventFilter<'a>,
    spots: &'a [Spot],
) -> impl Iterator<Item = Result<Found, Error>> + 'a {
    spots.chunks(READ_EVENTS_MAX).flat_map(move |spots| {
        let events = read_together(sieve, spots);
        let (events, error) = match events {
            Ok(events) => (events, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        events.into_iter().map(Ok).chain(error)
    })
}

fn read_together(sieve: &EventFilter<'_>, spots: &[Spot]) -> Result<Vec<Found>, Error> {
    let (view, user) = (sieve.view, sieve.user);
    let revisions: Vec<_> = spots.iter().map(|spot| spot.revision).collect();
    let happened = view.happened(&revisions)?;
    let reposted = happened.iter().filter_map(|happened| match happened {
        Some(TimelineEvent::Repost(repost)) => Some(repost.post.id.revision()),
        _ => None,
    });
    let mut originals = view.happened(&reposted.collect::<Vec<_>>())?.into_iter();
    let mut events = Vec::with_capacity(revisions.len());
    for (happened, &Spot { revision, is_from_author }) in happened.into_iter().zip(spots) {
        let event = |kind| Arc::new(FeedEvent::new(revision, kind));
        let event = match happened {
            Some(TimelineEvent::Post(post)) => Some(event(FeedEventKind::Posted(post))),
            Some(TimelineEvent::Repost(repost)) => match originals.next().flatten() {
                Some(TimelineEvent::Post(post)) => {
                    Some(event(FeedEventKind::Reposted { post, by: repost.by.clone() }))
                }
                Some(_) => return Err(MissingEvent { revision: repost.post.id.revision() }.into()),
                None => None,
            },
            Some(TimelineEvent::Other(change)) => {
                let change = event_for(user, FeedKind::Feed, revision, &change, is_from_author);
                change.map_or(Ok(None), |event| extended(sieve, event))?
            }
            None => None,
        };
        events.push((revision, event));
    }
    Ok(events)
}

/// `event` with all that it does to a feed; none if it does not concern it.
fn extended(
    sieve: &EventFilter<'_>,
    event: Arc<FeedEvent>,
) -> Result<Option<Arc<FeedEvent>>, Error> {
    if !event.has_consequences() {
        return Ok(Some(event));
    }
    Ok(match sieve.extend(&event)? {
        Some(Filtered::Extended(extended)) => Some(extended),
        Some(Filtered::Dropped) => None,
        Some(Filtered::Kept) => Some(event),
        None => unreachable!("only memory can be without an answer"),
    })
}

/// What `change` is to a feed of `user`, if it is anything. FeedKind nothing that was published or
/// notified.
fn event_for(
    user: &UserId,
    of: FeedKind,
    revision: Revision,
    change: &Change,
    is_from_author: bool,
) -> Option<Arc<FeedEvent>> {
    let effects = effects(revision, Timestamp::default(), change, DeliveryContext::default());
    effects.into_iter().find_map(|effect| effect.for_feed(user, of, is_from_author))
}

fn event_of_told(told: Told, user: &UserId) -> Found {
    match told {
        Told::Notified(notification) => {
            let revision = notification.revision;
            let kind = FeedEventKind::Notified(notification);
            (revision, Some(Arc::new(FeedEvent::new(revision, kind))))
        }
        Told::Changed(revision, change) => {
            (revision, event_for(user, FeedKind::Notifications, revision, &change, false))
        }
    }
}

/// The first of `events`, after which all up to `reached` is nothing: at least one if there is one,
/// and at most as many as fit into a batch.
fn first_of(
    events: impl Iterator<Item = Result<Found, Error>>,
    reached: Revision,
    bytes_max: usize,
) -> Result<CaughtUpPart, Error> {
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let mut first = CaughtUpPart { events: Vec::new(), reached: Revision::ZERO };
    for event in events {
        let (revision, event) = event?;
        if let Some(event) = event {
            bytes += event.wire_bytes_max();
            if bytes > bytes_max && !first.events.is_empty() {
                return Ok(first);
            }
            first.events.push(event);
        }
        first.reached = revision;
    }
    Ok(CaughtUpPart { reached, ..first })
}
