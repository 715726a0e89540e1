//! What a live stream missed: found in the view, and read from memory or the log.

use std::sync::Arc;

use super::stream::BATCH_OVERHEAD_BYTES;
use super::{Error, FeedEvent, FeedEventKind, Hub};
use crate::log;
use crate::model::{Cursor, Revision, UserId};

impl Hub {
    /// The events at the first of `revisions`, of which there must be some: at least one, and at
    /// most as many as fit into a batch.
    pub(super) async fn load(
        &self,
        revisions: Vec<Revision>,
    ) -> Result<Vec<Arc<FeedEvent>>, Error> {
        let bytes_max = self.0.limits.batch_bytes_max;
        // A reader that is just behind finds all it missed at hand.
        let at_hand = revisions.iter().map_while(|&revision| self.event_at_hand(revision));
        let at_hand = first_of(at_hand.map(Ok), bytes_max)?;
        if !at_hand.is_empty() {
            return Ok(at_hand);
        }
        // The log may have to read from the disk.
        let hub = self.clone();
        let read =
            move || first_of(revisions.into_iter().map(|revision| hub.event(revision)), bytes_max);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(log::Error::Closed.into()))
    }

    /// Where a stream starts that begins with the newest items of `user`'s feed.
    pub(super) fn snapshot(&self, user: &UserId, items_max: usize) -> Cursor {
        let page = self.0.view.feed_page(user, Revision::MAX, items_max, true);
        match page.revisions.last() {
            Some(oldest) => Cursor {
                after: oldest.previous(),
                snapshot_until: page.at,
                ..self.cursor_after(page.at)
            },
            None => self.cursor_after(page.at),
        }
    }

    /// The feed event at `revision` if that is a post, and in memory.
    fn event_at_hand(&self, revision: Revision) -> Option<FeedEvent> {
        let post = self.0.view.cached_post(revision)?;
        Some(FeedEvent::new(revision, FeedEventKind::Posted(post)))
    }

    /// The feed event at `revision`, from memory or the log.
    fn event(&self, revision: Revision) -> Result<FeedEvent, Error> {
        let view = &self.0.view;
        if let Some(post) = view.post(revision)? {
            return Ok(FeedEvent::new(revision, FeedEventKind::Posted(post)));
        }
        let event = view.log().get(revision)?;
        event
            .and_then(|event| FeedEvent::of(revision, &event.change, None))
            .ok_or(Error::Missing { revision })
    }
}

/// The first of `events`: at least one if there is one, and at most as many as fit into a batch.
fn first_of(
    events: impl Iterator<Item = Result<FeedEvent, Error>>,
    bytes_max: usize,
) -> Result<Vec<Arc<FeedEvent>>, Error> {
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let mut first = Vec::new();
    for event in events {
        let event = event?;
        bytes += event.wire_bytes_max();
        if bytes > bytes_max && !first.is_empty() {
            break;
        }
        first.push(Arc::new(event));
    }
    Ok(first)
}
