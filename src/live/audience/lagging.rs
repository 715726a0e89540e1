//! Feeds that lag, because something was lost that would have been sent to them: nothing is sent to a
//! feed until it is brought level with the state, as if its first stream had just joined.
//!
//! Then each of its streams is sent an empty batch, after which it reads in the log what it missed.
//! Those that lag first come first, so that each has its turn however often something is lost. Nothing
//! here waits.

use std::sync::Arc;

use super::super::delivery::FeedKind;
use super::{Audiences, StepBudget, as_u32};
use crate::model::{Revision, UserId};

/// Authors of a feed for each look of a budget: the feed is in most of the audiences already, and
/// those are only looked up.
const AUTHORS_PER_LOOK: usize = 4;

impl Audiences {
    /// Something was lost: from now on all feeds lag, and what is on its way is dropped.
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

    /// Brings level the feeds that lag, up to `feeds_max` of them: fewer if they have many authors,
    /// but one at least. `now` gives a position, and the authors of a feed there or later.
    pub(in crate::live) fn bring_level(
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
            budget.looks = budget.looks.saturating_sub(authors.len() / AUTHORS_PER_LOOK);
            self.join_only(number, &authors);
            let feed = &mut self.feeds[number];
            (feed.sent_until, feed.lags) = (applied, false);
            // Nobody receives it if the last stream is just leaving.
            let _ = feed.sender.send(Arc::clone(&self.nothing));
        }
    }

    /// Puts a feed into the audiences of `authors`, and takes it out of all others.
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
