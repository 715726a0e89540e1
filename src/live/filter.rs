//! Filters of delivered events, by the rules of queries: whether an event belongs to one feed, and
//! its further consequences there.
//!
//! Each stream filters its events when its reader asks for them. The dispatcher, which sends to all
//! streams, never filters.

use std::sync::Arc;

use super::delivery::FeedKind;
use super::event::StandIn;
use super::{FeedEvent, FeedEventKind, Watched};
use crate::model::{Mark, MarkKind, PostId, Revision, UserId};
use crate::query::{
    ConditionalEvent, LaterReposts, Query, Replacement, Source, Unanswered, belong_to_feed,
    is_still_shown, later_reposts, newest_unsettled, replacement,
};
use crate::state::caches::facts::PostFacts;
use crate::state::users::Users;
use crate::state::{MissingEvent, State, TimelineEvent};

/// Filters events, which are all conditional, for one feed of a user.
#[derive(Debug)]
pub(super) struct FilterEvents {
    pub(super) user: UserId,
    pub(super) watched: Watched,
    pub(super) events: Vec<Arc<FeedEvent>>,
}

/// The result of a filter for one event.
#[derive(Clone, Debug)]
pub(super) enum Filtered {
    /// The event is sent as it is.
    Kept,
    /// The event does not belong to the feed.
    Dropped,
    /// This event is sent instead, which has the consequences for this feed.
    Extended(Arc<FeedEvent>),
}

/// The filter of one home feed.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventFilter<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) user: &'a UserId,
    pub(super) all_replies: bool,
}

impl Watched {
    pub(super) fn feed(self) -> FeedKind {
        match self {
            Self::Feed { .. } => FeedKind::Home,
            Self::Notifications => FeedKind::Notifications,
        }
    }
}

impl Query for FilterEvents {
    type Answer = Vec<Filtered>;

    fn answer(&self, source: &Source<'_>) -> Result<Vec<Filtered>, Unanswered> {
        let Self { user, watched, events } = self;
        match *watched {
            Watched::Notifications => {
                let filter = |event: &Arc<_>| filter_notification(source.state, user, event);
                Ok(events.iter().map(filter).collect())
            }
            Watched::Feed { all_replies } => {
                EventFilter { source, user, all_replies }.filter(events)
            }
        }
    }
}

/// Filters `event` for the notifications of `user`.
pub(super) fn filter_notification(state: &State, user: &UserId, event: &FeedEvent) -> Filtered {
    let is_kept = match &event.kind {
        FeedEventKind::Notified(notification) => is_still_shown(state, user, notification),
        FeedEventKind::ActorShown(actor) => !state.is_hidden_from(user, actor),
        _ => true,
    };
    if is_kept { Filtered::Kept } else { Filtered::Dropped }
}

impl EventFilter<'_> {
    fn filter(&self, events: &[Arc<FeedEvent>]) -> Result<Vec<Filtered>, Unanswered> {
        let Self { source, user, all_replies } = *self;
        let published = events.iter().filter_map(|event| conditional(&source.state.users, event));
        let published = published.collect::<Result<Vec<_>, _>>()?;
        let mut belongs = belong_to_feed(source, user, all_replies, &published)?.into_iter();
        let filter = |event: &Arc<FeedEvent>| {
            if event.has_consequences() {
                return self.consequences(event);
            }
            let is_kept = belongs.next() == Some(true);
            Ok(if is_kept { Filtered::Kept } else { Filtered::Dropped })
        };
        events.iter().map(filter).collect()
    }

    /// Filters `event`, which has [consequences](FeedEvent::has_consequences), and adds these.
    pub(super) fn consequences(&self, event: &FeedEvent) -> Result<Filtered, Unanswered> {
        debug_assert!(event.has_consequences(), "{event:?}");
        let Self { source, user, .. } = *self;
        match &event.kind {
            FeedEventKind::AuthorShown(author) if source.state.is_hidden_from(user, author) => {
                Ok(Filtered::Dropped)
            }
            FeedEventKind::AuthorRemoved { .. } | FeedEventKind::AuthorShown(_) => {
                let from = newest_unsettled(source, user, event.revision)?;
                Ok(paged_again(event, from))
            }
            FeedEventKind::Unreposted { post, by, repost: Some(repost), .. } => {
                self.unreposted(event, *post, by, *repost)
            }
            _ => Ok(Filtered::Kept),
        }
    }

    /// Adds the repost that replaces the removed `repost` of `post` by `by`, if there is one.
    fn unreposted(
        &self,
        event: &FeedEvent,
        post: PostId,
        by: &UserId,
        repost: Revision,
    ) -> Result<Filtered, Unanswered> {
        let Self { source, user, all_replies } = *self;
        let later = self.later_reposts(event, post, repost)?;
        let (revision, stand_in_by) = match replacement(source, user, all_replies, post, &later)? {
            Replacement::Nothing => return Ok(Filtered::Kept),
            Replacement::Unknown => return Ok(paged_again(event, event.revision)),
            Replacement::Repost { revision, by } => (revision, by),
        };
        match source.events(&[post.revision()])?.pop() {
            Some(TimelineEvent::Post(body)) => {
                let stand_in = StandIn { revision, post: body, by: stand_in_by };
                let (by, repost, stand_in) = (by.clone(), Some(repost), Some(Box::new(stand_in)));
                let kind = FeedEventKind::Unreposted { post, by, repost, stand_in };
                Ok(Filtered::Extended(Arc::new(FeedEvent::new(event.revision, kind))))
            }
            // The post was deleted meanwhile, and a later event removes it.
            _ => Ok(Filtered::Kept),
        }
    }

    /// The reposts that may replace the one that `event` removes. All streams of the event share
    /// them.
    fn later_reposts(
        &self,
        event: &FeedEvent,
        post: PostId,
        repost: Revision,
    ) -> Result<LaterReposts, Unanswered> {
        if let Some(known) = event.later_reposts().get() {
            return Ok(known.clone());
        }
        let later = later_reposts(self.source, post, repost, event.revision)?;
        Ok(event.later_reposts().get_or_init(|| later).clone())
    }
}

/// Extends `event` so that the client pages again from `from` on, unless that is zero.
fn paged_again(event: &FeedEvent, from: Revision) -> Filtered {
    if from == Revision::ZERO {
        return Filtered::Kept;
    }
    let (revision, kind) = (event.revision, event.kind.clone());
    Filtered::Extended(Arc::new(FeedEvent::with_page_again(revision, kind, from)))
}

/// The post or repost of `event`, which is applied; `None` if it has neither.
///
/// # Errors
/// A user of the event has no number, as if it were not applied.
fn conditional(users: &Users, event: &FeedEvent) -> Option<Result<ConditionalEvent, MissingEvent>> {
    let (post, by, kind) = match &event.kind {
        FeedEventKind::Posted(post) => (post, &post.author, MarkKind::Conditional),
        FeedEventKind::Reposted { post, by } => (post, by, MarkKind::Repost),
        _ => return None,
    };
    let (by, facts) = (users.get(by), PostFacts::of_post(users, post));
    let mark = Mark::new(event.revision, kind);
    let conditional = by.zip(facts).map(|(by, facts)| ConditionalEvent { mark, by, facts });
    Some(conditional.ok_or(MissingEvent { revision: event.revision }))
}
