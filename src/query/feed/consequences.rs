//! What a change does to a feed apart from the entry that it names: which repost replaces one that was
//! taken back, and from which position on a feed may differ after somebody left it or is shown again.
//!
//! Gives the present state, never the one at the time of the change: a stream that reads of a change
//! later gets what is right then, and every later change as well.

use std::sync::Arc;

use super::rules::{FeedEntry, FeedRules, Moment};
use super::walk::newest_first;
use crate::model::{Mark, MarkKind, PostId, Revision, UserId};
use crate::query::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Table};

/// Reposts of a post that are gone through for one that replaces another. Few posts have as many in
/// the time in which a repost is taken back.
const LATER_REPOSTS_MAX: usize = 512;
/// Marks that are gone through for the newest entry that may differ: some pages of a feed.
const MARKS_MAX: usize = 256;

/// The reposts of a post between one that was taken back and the moment at which it was, oldest
/// first; `None` if they are too many to go through.
#[derive(Clone, Debug)]
pub struct LaterReposts(Option<Arc<[(Revision, UserId)]>>);

/// What a repost that was taken back does to a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// No other entry appears.
    Nothing,
    /// The repost at this position, by this user, is in the feed now.
    Repost {
        /// Its position.
        revision: Revision,
        /// Whose it is.
        by: UserId,
    },
    /// There are too many candidates: the feed has to be paged again.
    Unknown,
}

/// The reposts of `post` after the one at `repost` and before `until` that were not taken back.
///
/// # Errors
/// Memory does not have all of them; or the index cannot be read.
pub(crate) fn later_reposts(
    source: &Source<'_>,
    post: PostId,
    repost: Revision,
    until: Revision,
) -> Result<LaterReposts, Unanswered> {
    let (about, from) = ((Table::Reposts, post.into()), Position::from(repost));
    let mut later = source.list(about, from, ListOrder::OldestFirst, LATER_REPOSTS_MAX + 1)?;
    later.retain(|(position, _)| position.revision() < until);
    if later.len() > LATER_REPOSTS_MAX {
        return Ok(LaterReposts(None));
    }
    let named = later
        .into_iter()
        .map(|(position, value)| (position.revision(), source.state.users.name(value.user())));
    Ok(LaterReposts(Some(named.collect())))
}

/// What it does to the feed of `user` that a repost of `post` was taken back, which has these `later`
/// reposts. Only the next of them can replace it: any after that is hidden by it, or as little hidden
/// as before.
///
/// # Errors
/// A part is not in memory; or the index or the log cannot be read.
pub(crate) fn replacement(
    source: &Source<'_>,
    user: &UserId,
    all_replies: bool,
    post: PostId,
    LaterReposts(later): &LaterReposts,
) -> Result<Replacement, Unanswered> {
    let Some(later) = later else { return Ok(Replacement::Unknown) };
    let Some(rules) = FeedRules::new(source.state, user, true, all_replies) else {
        return Ok(Replacement::Nothing);
    };
    let is_left = |&&(revision, ref by): &&(Revision, UserId)| {
        let by = source.state.users.get(by);
        !source.state.is_retracted(revision) && by.is_some_and(|by| rules.has(by, Revision::MAX))
    };
    let Some((revision, by)) = later.iter().find(is_left) else {
        return Ok(Replacement::Nothing);
    };
    let is_shown = match repost_entry(source, &rules, *revision, by)? {
        None => false,
        Some(entry) => {
            debug_assert_eq!(entry.post, post.revision(), "a repost of another post");
            let mut older = rules.walk(Mark::before(*revision), Moment::NOW, source)?;
            !older.is_near(post.revision(), 0)?
        }
    };
    Ok(if is_shown {
        Replacement::Repost { revision: *revision, by: by.clone() }
    } else {
        Replacement::Nothing
    })
}

/// The entry of the repost at `revision`, whether or not another entry suppresses it.
fn repost_entry(
    source: &Source<'_>,
    rules: &FeedRules<'_>,
    revision: Revision,
    by: &UserId,
) -> Result<Option<FeedEntry>, Unanswered> {
    let mark = Mark::new(revision, MarkKind::Repost);
    let event = match source.cached_event(revision) {
        Some(event) => Some(event),
        None => source.events_of(&[mark])?.pop(),
    };
    let by = source.state.users.get(by);
    let entry = by.and_then(|by| rules.entry(mark, by, event.as_ref(), Moment::NOW));
    Ok(entry.filter(|entry| !entry.is_gone))
}

/// The newest position before `before` at which the feed of `user` may differ because somebody left
/// it or is shown again, whose own entries do not count; [`Revision::ZERO`] if there is none.
///
/// Reposts are hidden by what is near them, and posts that reply or quote by whom else the user
/// follows and hides; no other entry depends on anybody but its author. Own posts always stay.
///
/// # Errors
/// A part is not in memory; or the index cannot be read.
pub(crate) fn newest_unsettled(
    source: &Source<'_>,
    user: &UserId,
    before: Revision,
) -> Result<Revision, Unanswered> {
    let Some(rules) = FeedRules::new(source.state, user, true, false) else {
        return Ok(Revision::ZERO);
    };
    let authors = rules.authors(Revision::MAX).map(|(author, _)| author);
    let mut marks = newest_first(source, authors, Mark::before(before))?;
    let mut looked_at = before;
    for _ in 0..MARKS_MAX {
        let Some((mark, author)) = marks.next().transpose()? else {
            return Ok(Revision::ZERO);
        };
        let is_unsettled = match mark.kind() {
            MarkKind::Repost => true,
            MarkKind::Conditional => author != rules.viewer,
            MarkKind::Post | MarkKind::Change => false,
        };
        if is_unsettled {
            return Ok(mark.revision());
        }
        looked_at = mark.revision();
        source.skip(1)?;
    }
    Ok(looked_at.previous())
}
