//! What a live stream missed: read from memory, else from the log by the few who may wait for the
//! disk.

use std::sync::Arc;

use super::stream::BATCH_OVERHEAD_BYTES;
use super::{Error, FeedEvent, FeedEventKind, Hub};
use crate::model::{Cursor, Revision, UserId};
use crate::view::{Happened, PageQuery, View};

/// Events read from the log at once: of ordinary ones not much more than a batch takes.
const READ_EVENTS_MAX: usize = 64;

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
        self.0.view.read(move |view| first_of(read(view, &revisions), bytes_max)).await
    }

    /// Where a stream starts that begins with the newest items of `user`'s feed.
    pub(super) async fn snapshot(&self, user: &UserId, items_max: usize) -> Result<Cursor, Error> {
        let view = &self.0.view;
        let (user, before) = (user.clone(), Revision::MAX);
        let query = PageQuery { user, before, items_max, with_own: true };
        let page = match view.feed_page_at_hand(&query) {
            Some(page) => page,
            None => view.read(move |view| view.feed_page(&query)).await?,
        };
        let from = page.revisions.last().map_or(page.at, |oldest| oldest.previous());
        let snapshot_until = if from < page.at { page.at } else { Revision::ZERO };
        Ok(Cursor { snapshot_until, ..self.cursor_after(from) })
    }

    /// The feed event at `revision` if that is a post, and in memory.
    fn event_at_hand(&self, revision: Revision) -> Option<FeedEvent> {
        let post = self.0.view.cached_post(revision)?;
        Some(FeedEvent::new(revision, FeedEventKind::Posted(post)))
    }
}

/// The events at `revisions`, read from the log as they are asked for.
fn read<'a>(
    view: &'a View,
    revisions: &'a [Revision],
) -> impl Iterator<Item = Result<FeedEvent, Error>> + 'a {
    revisions.chunks(READ_EVENTS_MAX).flat_map(|revisions| match view.happened(revisions) {
        Ok(happened) => happened
            .into_iter()
            .zip(revisions)
            .map(|(happened, &revision)| event(revision, happened))
            .collect(),
        Err(error) => vec![Err(error.into())],
    })
}

fn event(revision: Revision, happened: Option<Happened>) -> Result<FeedEvent, Error> {
    let event = match happened {
        Some(Happened::Post(post)) => Some(FeedEvent::new(revision, FeedEventKind::Posted(post))),
        Some(Happened::Other(change)) => FeedEvent::of(revision, &change, None),
        None => None,
    };
    event.ok_or(Error::Missing { revision })
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
