//! Which of the events that are sent to the followers of an author concern a feed: the view's rules,
//! asked by the stream that takes them.
//!
//! What was sent to all is so looked at by each for itself, when its reader comes for it: nobody
//! who tells many has to.

use std::sync::Arc;

use super::effect::Of;
use super::{Error, FeedEvent, FeedEventKind, Hub, Watched};
use crate::model::UserId;
use crate::view::{Conditional, Happened, Reposted};

impl Watched {
    pub(super) fn of(self) -> Of {
        match self {
            Self::Feed { .. } => Of::Feed,
            Self::Notifications => Of::Notifications,
        }
    }
}

impl Hub {
    /// Which of `events`, all conditional, concern what is watched of `user`.
    pub(super) async fn concerned(
        &self,
        user: &UserId,
        watched: Watched,
        events: &[Arc<FeedEvent>],
    ) -> Result<Vec<bool>, Error> {
        let view = &self.0.view;
        match watched {
            Watched::Notifications => Ok(events
                .iter()
                .map(|event| match &event.kind {
                    FeedEventKind::Notified(notification) => view.is_still_told(user, notification),
                    _ => true,
                })
                .collect()),
            Watched::Feed { all_replies } => {
                let events: Vec<_> = events.iter().filter_map(|event| conditional(event)).collect();
                if let Some(concerned) = view.concerned_at_hand(user, all_replies, &events) {
                    return Ok(concerned);
                }
                let user = user.clone();
                view.read(move |view| Ok(view.concerned(&user, all_replies, &events)?)).await
            }
        }
    }
}

fn conditional(event: &FeedEvent) -> Option<Conditional> {
    let happened = match &event.kind {
        FeedEventKind::Posted(post) => Happened::Post(Arc::clone(post)),
        FeedEventKind::Reposted { post, by } => {
            Happened::Repost(Arc::new(Reposted { by: by.clone(), post: post.reference() }))
        }
        _ => return None,
    };
    Some(Conditional { revision: event.revision, event: happened })
}
