//! Feeds that lag, because their shard lost a batch. Nothing is sent to such a feed until it is
//! resynced with the state, as if its first stream had just joined.
//!
//! A resynced feed sends an empty batch, after which its streams read the lost events from the log.
//! Feeds are resynced in the order in which they started to lag, so each has its turn however often
//! batches are lost. Nothing here waits.

use std::sync::Arc;

use super::super::delivery::FeedKind;
use super::{Audiences, StepBudget, as_u32};
use crate::model::{Revision, UserId};

/// Authors of a feed per check of a budget: the feed is in most of their audiences already, and
/// those cost a lookup only.
const AUTHORS_PER_CHECK: usize = 4;

impl Audiences {
    /// To be called when the shard has lost a batch: all feeds lag, and all fan-outs are dropped.
    pub(in crate::live) fn lag(&mut self) {
        self.fan_outs.clear();
        for (number, feed) in self.feeds.iter_mut().filter(|(_, feed)| !feed.lags) {
            feed.lags = true;
            feed.sent_until = Revision::MAX;
            self.lagging.push_back(number);
        }
    }

    /// Whether any feed lags.
    pub(in crate::live) fn is_lagging(&self) -> bool {
        !self.lagging.is_empty()
    }

    /// Resyncs at most `feeds_max` lagging feeds: fewer if they have many authors, but at least
    /// one. `now` returns the applied revision, and then the authors of a feed.
    pub(in crate::live) fn resync(
        &mut self,
        feeds_max: usize,
        mut now: impl FnMut(&(UserId, FeedKind)) -> (Revision, Vec<UserId>),
    ) {
        let mut budget = StepBudget::of(feeds_max);
        while !budget.is_spent()
            && let Some(number) = self.lagging.pop_front()
        {
            let Some(feed) = self.feeds.get(number).filter(|feed| feed.lags) else { continue };
            let (applied, authors) = now(&feed.user);
            budget.feeds -= 1;
            budget.checks = budget.checks.saturating_sub(authors.len() / AUTHORS_PER_CHECK);
            self.join_only(number, &authors);
            let feed = &mut self.feeds[number];
            (feed.sent_until, feed.lags) = (applied, false);
            feed.send(Arc::clone(&self.empty_batch));
        }
    }

    /// Joins the audiences of `authors`, and leaves all others.
    fn join_only(&mut self, number: usize, authors: &[UserId]) {
        let mut before = std::mem::take(&mut self.feeds[number].audiences);
        before.sort_unstable();
        let mut stays = vec![false; before.len()];
        for author in authors {
            let known = self.by_author.get(author).map(|&audience| as_u32(audience));
            match known.and_then(|audience| before.binary_search(&audience).ok()) {
                Some(at) => stays[at] = true,
                None => self.join_audience(number, author),
            }
        }
        for (audience, stays) in before.into_iter().zip(stays) {
            match stays {
                true => self.feeds[number].audiences.push(audience),
                false => self.remove_from(audience, number),
            }
        }
    }
}
