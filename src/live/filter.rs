//! Which of the events that are sent to the followers of an author concern a feed, and what they do
//! to it besides: the view's rules, asked by the stream that takes the events.
//!
//! What was sent to all is so looked at by each for itself, when its reader comes for it: the
//! dispatcher, which sends to many, never has to.

use std::sync::Arc;

use super::delivery::FeedKind;
use super::event::StandIn;
use super::{Error, FeedEvent, FeedEventKind, LiveFeeds, Watched};
use crate::model::{PostId, Revision, UserId};
use crate::query::{Conditional, LaterReposts, Succession};
use crate::state::{Repost, State, TimelineEvent};

/// What becomes of an event on its way into one feed.
#[derive(Clone, Debug)]
pub(super) enum Filtered {
    /// It is passed on as it is.
    Kept,
    /// It does not concern the feed.
    Dropped,
    /// It does more to this feed than it says to all.
    Extended(Arc<FeedEvent>),
}

/// Whether a look may read the index and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Only memory is read.
    Cached,
    /// It may block for a moment.
    Blocking,
}

impl Watched {
    pub(super) fn of(self) -> FeedKind {
        match self {
            Self::Feed { .. } => FeedKind::Feed,
            Self::Notifications => FeedKind::Notifications,
        }
    }
}

impl LiveFeeds {
    /// What becomes of each of `events`, all conditional, in what is watched of `user`.
    pub(super) async fn sifted(
        &self,
        user: &UserId,
        watched: Watched,
        events: Vec<Arc<FeedEvent>>,
    ) -> Result<Vec<Filtered>, Error> {
        let view = &self.0.view;
        match watched {
            Watched::Notifications => {
                Ok(events.iter().map(|event| sift_notification(view, user, event)).collect())
            }
            Watched::Feed { all_replies } => {
                let cached = EventFilter { view, user, all_replies, reading: Reading::Cached };
                if let Some(sifted) = cached.sift(&events)? {
                    return Ok(sifted);
                }
                let user = user.clone();
                view.read(move |view| {
                    let user = &user;
                    let blocking =
                        EventFilter { view, user, all_replies, reading: Reading::Blocking };
                    let Some(sifted) = blocking.sift(&events)? else {
                        unreachable!("only memory can be without an answer")
                    };
                    Ok(sifted)
                })
                .await
            }
        }
    }
}

/// What becomes of `event` among the notifications of `user`.
pub(super) fn sift_notification(view: &State, user: &UserId, event: &FeedEvent) -> Filtered {
    let is_kept = match &event.kind {
        FeedEventKind::Notified(notification) => view.is_still_told(user, notification),
        FeedEventKind::ActorShown(actor) => !view.is_hidden_from(user, actor),
        _ => true,
    };
    if is_kept { Filtered::Kept } else { Filtered::Dropped }
}

/// One feed as events are looked at for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventFilter<'a> {
    pub(super) view: &'a State,
    pub(super) user: &'a UserId,
    pub(super) all_replies: bool,
    pub(super) reading: Reading,
}

impl EventFilter<'_> {
    /// What becomes of each of `events`, all conditional; `None` if memory does not know.
    fn sift(&self, events: &[Arc<FeedEvent>]) -> Result<Option<Vec<Filtered>>, Error> {
        let Self { view, user, all_replies, reading } = *self;
        let published: Vec<_> = events.iter().filter_map(|event| conditional(event)).collect();
        let concerned = match reading {
            Reading::Cached => view.concerned_at_hand(user, all_replies, &published),
            Reading::Blocking => Some(view.concerned(user, all_replies, &published)?),
        };
        let Some(concerned) = concerned else { return Ok(None) };
        let mut concerned = concerned.into_iter();
        let mut sifted = Vec::with_capacity(events.len());
        for event in events {
            let found = if event.has_consequences() {
                self.extend(event)?
            } else {
                let is_kept = concerned.next() == Some(true);
                Some(if is_kept { Filtered::Kept } else { Filtered::Dropped })
            };
            let Some(found) = found else { return Ok(None) };
            sifted.push(found);
        }
        Ok(Some(sifted))
    }

    /// What `event`, which has [consequences](FeedEvent::has_consequences), is to the feed; `None` if
    /// memory does not know.
    pub(super) fn extend(&self, event: &FeedEvent) -> Result<Option<Filtered>, Error> {
        let Self { view, user, reading, .. } = *self;
        match &event.kind {
            FeedEventKind::AuthorShown(author) if view.is_hidden_from(user, author) => {
                Ok(Some(Filtered::Dropped))
            }
            FeedEventKind::AuthorRemoved { .. } | FeedEventKind::AuthorShown(_) => {
                let place = match reading {
                    Reading::Cached => view.unsettled_cached(user, event.revision),
                    Reading::Blocking => Some(view.unsettled(user, event.revision)?),
                };
                Ok(place.map(|place| paged_again(event, place)))
            }
            FeedEventKind::Unreposted { post, by, repost: Some(repost), .. } => {
                self.succeed(event, *post, by, *repost)
            }
            _ => Ok(Some(Filtered::Kept)),
        }
    }

    /// What it is that `by` took back their `repost` of `post`.
    fn succeed(
        &self,
        event: &FeedEvent,
        post: PostId,
        by: &UserId,
        repost: Revision,
    ) -> Result<Option<Filtered>, Error> {
        let Self { view, user, all_replies, reading } = *self;
        let Some(later) = self.later_reposts(event, post, repost)? else { return Ok(None) };
        let succession = match reading {
            Reading::Cached => view.succession_cached(user, all_replies, post, &later),
            Reading::Blocking => Some(view.succession(user, all_replies, post, &later)?),
        };
        let (revision, stand_in) = match succession {
            None => return Ok(None),
            Some(Succession::Nothing) => return Ok(Some(Filtered::Kept)),
            Some(Succession::Unknown) => return Ok(Some(paged_again(event, event.revision))),
            Some(Succession::StandIn { revision, by }) => (revision, by),
        };
        let body = match reading {
            Reading::Cached => view.cached_post(post.revision()),
            Reading::Blocking => view.published(post.revision())?,
        };
        Ok(match (body, reading) {
            (Some(post), _) => {
                let id = post.id();
                let stand_in = Some(Box::new(StandIn { revision, post, by: stand_in }));
                let (by, repost) = (by.clone(), Some(repost));
                let kind = FeedEventKind::Unreposted { post: id, by, repost, stand_in };
                Some(Filtered::Extended(Arc::new(FeedEvent::new(event.revision, kind))))
            }
            (None, Reading::Cached) => None,
            // Deleted and erased in this moment, as an event after this one says.
            (None, Reading::Blocking) => Some(Filtered::Kept),
        })
    }

    /// The reposts that may stand in for one that `event` takes back. All who are sent the event
    /// share them.
    fn later_reposts(
        &self,
        event: &FeedEvent,
        post: PostId,
        repost: Revision,
    ) -> Result<Option<LaterReposts>, Error> {
        if let Some(known) = event.later_reposts().get() {
            return Ok(Some(known.clone()));
        }
        let later = match self.reading {
            Reading::Cached => self.view.later_reposts_cached(post, repost, event.revision),
            Reading::Blocking => Some(self.view.later_reposts(post, repost, event.revision)?),
        };
        Ok(later.map(|later| event.later_reposts().get_or_init(|| later).clone()))
    }
}

/// `event`, after which the feed has to be paged again at `place` and below, if that is any.
fn paged_again(event: &FeedEvent, place: Revision) -> Filtered {
    if place == Revision::ZERO {
        return Filtered::Kept;
    }
    let (revision, kind) = (event.revision, event.kind.clone());
    Filtered::Extended(Arc::new(FeedEvent::with_page_again(revision, kind, place)))
}

fn conditional(event: &FeedEvent) -> Option<Conditional> {
    let happened = match &event.kind {
        FeedEventKind::Posted(post) => TimelineEvent::Post(Arc::clone(post)),
        FeedEventKind::Reposted { post, by } => TimelineEvent::Repost(Arc::new(Repost::new(
            by.clone(),
            post.reference(),
            &post.content,
        ))),
        _ => return None,
    };
    Some(Conditional { revision: event.revision, event: happened })
}
