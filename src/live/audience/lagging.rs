//! Feeds that lag, as something was lost that would have come to them: nothing is sent to a feed until
//! it is brought level with the view, as if its first stream had just joined.
//!
//! AudienceChange each of its streams is sent an empty run, after which it reads in the log what it missed. Those
//! that lag first come first, so that each has its turn however often something is lost. Nothing here
//! waits.

use std::sync::Arc;

use super::{Audiences, StepBudget, number};
use crate::live::delivery::FeedKind;
use crate::model::{Revision, UserId};

/// Authors of a feed for each look of a budget: most are listed already, and are only looked up.
const AUTHORS_PER_LOOK: usize = 4;

impl Audiences {
    /// Something was lost: from now on all feeds lag, and what is on its way goes nowhere.
    pub(in crate::live) fn lag(&mut self) {
        self.passes.clear();
        for (place, feed) in self.feeds.iter_mut().filter(|(_, feed)| !feed.lags) {
            feed.lags = true;
            feed.told = Revision::MAX;
            self.lagging.push_back(place);
        }
    }

    /// Whether any feed lags.
    pub(in crate::live) fn is_lagging(&self) -> bool {
        !self.lagging.is_empty()
    }

    /// Brings level the feeds that lag, up to `feeds_max` of them: fewer if they have many authors,
    /// but one at least. `now` gives a position, and whose posts are in a feed there or later.
    pub(in crate::live) fn bring_level(
        &mut self,
        feeds_max: usize,
        mut now: impl FnMut(&(UserId, FeedKind)) -> (Revision, Vec<UserId>),
    ) {
        let mut budget = StepBudget::of(feeds_max);
        while !budget.is_spent()
            && let Some(place) = self.lagging.pop_front()
        {
            let Some(feed) = self.feeds.get(place).filter(|feed| feed.lags) else { continue };
            let (applied, authors) = now(&feed.user);
            budget.feeds -= 1;
            budget.looks = budget.looks.saturating_sub(authors.len() / AUTHORS_PER_LOOK);
            self.list_only(place, &authors);
            let feed = &mut self.feeds[place];
            (feed.told, feed.lags) = (applied, false);
            // Nobody receives it if the last stream is just leaving.
            let _ = feed.sender.send(Arc::clone(&self.nothing));
        }
    }

    /// Lists the feed at `place` for `authors`, and for nobody else.
    fn list_only(&mut self, place: usize, authors: &[UserId]) {
        let mut before = std::mem::take(&mut self.feeds[place].listed);
        before.sort_unstable();
        let mut stays = vec![false; before.len()];
        for author in authors {
            let known = self.by_author.get(author).map(|&audience| number(audience));
            match known.and_then(|audience| before.binary_search(&audience).ok()) {
                Some(at) => stays[at] = true,
                None => self.list(place, author),
            }
        }
        for (audience, stays) in before.into_iter().zip(stays) {
            match stays {
                true => self.feeds[place].listed.push(audience),
                false => self.delist(place, audience),
            }
        }
    }
}
