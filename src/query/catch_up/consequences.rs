//! What a change does to a feed besides what it names: which repost stands in for one that was taken
//! back, and from which place on a feed may be another after somebody left it or is shown again.
//!
//! Says what is so now, and never what was: a stream that reads of a change later is sent what is
//! right then, and of every later change as well.

use std::sync::Arc;

use crate::model::{Mark, MarkKind, PostId, Revision, UserId};
use crate::query::feed::rules::{Entry, Lens, Moment};
use crate::query::source::Beyond;
use crate::state::State;
use crate::state::reads::ReadError;
use crate::state::records::Order;
use crate::state::records::record::{Position, Table, Value};
use crate::storage;

/// Reposts of a post looked through for one that stands in for another. Few posts have as many in the
/// time in which a repost is taken back.
const LATER_REPOSTS_MAX: usize = 512;
/// Marks looked through for the newest entry that may be another: some pages of a feed.
const MARKS_MAX: usize = 256;

/// The reposts of a post between one that was taken back and the moment at which it was, oldest
/// first; `None` if they are too many to look through.
#[derive(Clone, Debug)]
pub struct LaterReposts(Option<Arc<[(Revision, UserId)]>>);

/// What follows for a feed from a repost that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Succession {
    /// No other entry comes.
    Nothing,
    /// The repost at this place, by this user, is in the feed now.
    StandIn {
        /// Its place.
        revision: Revision,
        /// Whose it is.
        by: UserId,
    },
    /// Too many may: the feed has to be paged again.
    Unknown,
}

impl State {
    /// The reposts of `post` after the one at `repost` and before `until` that stand. May read the
    /// index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn later_reposts(
        &self,
        post: PostId,
        repost: Revision,
        until: Revision,
    ) -> Result<LaterReposts, storage::Error> {
        let (about, from) = ((Table::Reposts, post.into()), Position::from(repost));
        let later = self.facts.list(about, from, Order::OldestFirst, LATER_REPOSTS_MAX + 1)?;
        Ok(self.named(later, until))
    }

    /// The same, if memory has all of them.
    #[must_use]
    pub fn later_reposts_cached(
        &self,
        post: PostId,
        repost: Revision,
        until: Revision,
    ) -> Option<LaterReposts> {
        let about = (Table::Reposts, post.into());
        let later = self.facts.list_after_cached(about, repost, LATER_REPOSTS_MAX + 1)?;
        Some(self.named(later, until))
    }

    fn named(&self, mut reposts: Vec<(Position, Value)>, until: Revision) -> LaterReposts {
        reposts.retain(|(place, _)| place.revision() < until);
        let is_all = reposts.len() <= LATER_REPOSTS_MAX;
        let named =
            |(place, value): (Position, Value)| (place.revision(), self.ids.name(value.user()));
        LaterReposts(is_all.then(|| reposts.into_iter().map(named).collect()))
    }

    /// What follows for the feed of `user` from a repost of `post` that was taken back, which has
    /// these after it; `None` if that is not in memory.
    #[must_use]
    pub fn succession_cached(
        &self,
        user: &UserId,
        all_replies: bool,
        post: PostId,
        later: &LaterReposts,
    ) -> Option<Succession> {
        self.succeed(user, all_replies, post, later, &self.memory_only()).ok()
    }

    /// What follows for the feed of `user` from a repost of `post` that was taken back, which has
    /// these after it. May read the index and the log, which blocks for a moment.
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn succession(
        &self,
        user: &UserId,
        all_replies: bool,
        post: PostId,
        later: &LaterReposts,
    ) -> Result<Succession, ReadError> {
        self.succeed(user, all_replies, post, later, &self.beyond())
    }

    /// The newest place before `before` at which the feed of `user` may be another because somebody
    /// was taken out of it or is shown again, whose own entries are not meant; [`Revision::ZERO`] if
    /// there is none. `None` if that is not in memory.
    #[must_use]
    pub fn unsettled_cached(&self, user: &UserId, before: Revision) -> Option<Revision> {
        self.newest_unsettled(user, before, &self.memory_only()).ok()
    }

    /// The same. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn unsettled(&self, user: &UserId, before: Revision) -> Result<Revision, ReadError> {
        self.newest_unsettled(user, before, &self.beyond())
    }

    /// Whether `user` does not see what `other` does.
    #[must_use]
    pub fn is_hidden_from(&self, user: &UserId, other: &UserId) -> bool {
        let numbers = self.ids.get(user).zip(self.ids.get(other));
        numbers.is_some_and(|(user, other)| self.hidden.is_hidden(user, other))
    }

    /// Only the next of them can stand in: any after that is hidden by it, or as little hidden as
    /// before.
    fn succeed<B: Beyond>(
        &self,
        user: &UserId,
        all_replies: bool,
        post: PostId,
        LaterReposts(later): &LaterReposts,
        beyond: &B,
    ) -> Result<Succession, B::Error> {
        let Some(later) = later else { return Ok(Succession::Unknown) };
        let Some(lens) = Lens::new(self, user, true, all_replies) else {
            return Ok(Succession::Nothing);
        };
        let stands = |&&(revision, ref by): &&(Revision, UserId)| {
            let number = self.ids.get(by);
            self.hidden.retracted(revision).is_none()
                && number.is_some_and(|by| lens.has(by, Revision::MAX))
        };
        let Some((revision, by)) = later.iter().find(stands) else {
            return Ok(Succession::Nothing);
        };
        let is_shown = match self.repost_entry(&lens, *revision, by, beyond)? {
            None => false,
            Some(entry) => {
                let before = Mark::before(*revision);
                let mut older = lens.walk(before, Moment::NOW, beyond)?;
                debug_assert_eq!(entry.post, post.revision(), "a repost of another post");
                !older.is_near(post.revision(), 0)?
            }
        };
        Ok(if is_shown {
            Succession::StandIn { revision: *revision, by: by.clone() }
        } else {
            Succession::Nothing
        })
    }

    /// The entry of the repost at `revision`, if it is in the feed but for what suppresses it.
    fn repost_entry<B: Beyond>(
        &self,
        lens: &Lens<'_>,
        revision: Revision,
        by: &UserId,
        beyond: &B,
    ) -> Result<Option<Entry>, B::Error> {
        let mark = Mark::new(revision, MarkKind::Repost);
        let event = match beyond.at_hand(revision) {
            Some(event) => Some(event),
            None => beyond.happened(&[mark])?.pop(),
        };
        let entry =
            self.ids.get(by).and_then(|by| lens.entry(mark, by, event.as_ref(), Moment::NOW));
        Ok(entry.filter(|entry| !entry.is_gone))
    }

    /// Reposts are hidden by what is near them, and posts that answer or quote by whom else the user
    /// follows and hides; no other entry depends on anybody but its author. Own posts always stay.
    fn newest_unsettled<B: Beyond>(
        &self,
        user: &UserId,
        before: Revision,
        beyond: &B,
    ) -> Result<Revision, B::Error> {
        let Some(lens) = Lens::new(self, user, true, false) else { return Ok(Revision::ZERO) };
        let authors = lens.authors(Revision::MAX).map(|(author, _)| author);
        let mut marks = self.newest_first(authors, Mark::before(before), beyond)?;
        let mut looked_at = before;
        for _ in 0..MARKS_MAX {
            let Some((mark, author)) = marks.next().transpose()? else {
                return Ok(Revision::ZERO);
            };
            let is_unsettled = match mark.kind() {
                MarkKind::Repost => true,
                MarkKind::Conditional => author != lens.viewer,
                MarkKind::Post | MarkKind::Change => false,
            };
            if is_unsettled {
                return Ok(mark.revision());
            }
            looked_at = mark.revision();
            beyond.pass_over(1)?;
        }
        Ok(looked_at.previous())
    }
}
