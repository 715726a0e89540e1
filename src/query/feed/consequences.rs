//! The indirect effects of a change on a feed: the repost that replaces a removed one, and the
//! newest position at which a feed may differ after an author left it or is shown again.
//!
//! The result is for the current state, never for the state at the change: a stream that catches up
//! needs what is right now, and is sent every later change, too.

use std::sync::Arc;

use super::rules::{FeedEntry, FeedRules, Moment};
use super::walk::newest_first;
use crate::model::{Mark, MarkKind, PostId, Revision, UserId};
use crate::query::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Table};

/// The maximum number of reposts that are searched for a replacement. Few posts have as many
/// between a repost and its removal.
const LATER_REPOSTS_MAX: usize = 512;
/// The maximum number of marks that are searched for an entry that may differ: some pages of a
/// feed.
const MARKS_MAX: usize = 256;

/// The reposts of a post between a removed repost and its removal, oldest first; `None` if there
/// are too many to search.
#[derive(Clone, Debug)]
pub struct LaterReposts(Option<Arc<[(Revision, UserId)]>>);

/// The entry of a feed that replaces the entry of a removed repost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// There is none.
    Nothing,
    /// Another repost of the post, which is in the feed now.
    Repost {
        /// The position of the repost.
        revision: Revision,
        /// The user who reposted.
        by: UserId,
    },
    /// There are too many candidates: the client has to page the feed again.
    Unknown,
}

/// The reposts of `post` after the one at `repost` and before `until` that were not removed.
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

/// The replacement of a removed repost of `post` in the feed of `user`; `later` has the later
/// reposts of the post. Only the next of them can replace it: the next one hides each repost after
/// it, or that was not hidden before either.
///
/// # Errors
/// A mark or an event is not in memory; or the index or the log cannot be read.
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
    let is_existing = |&&(revision, ref by): &&(Revision, UserId)| {
        let by = source.state.users.get(by);
        !source.state.is_retracted(revision) && by.is_some_and(|by| rules.has(by, Revision::MAX))
    };
    let Some((revision, by)) = later.iter().find(is_existing) else {
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

/// The entry of the repost at `revision`, even if another entry suppresses it.
fn repost_entry(
    source: &Source<'_>,
    rules: &FeedRules<'_>,
    revision: Revision,
    by: &UserId,
) -> Result<Option<FeedEntry>, Unanswered> {
    let mark = Mark::new(revision, MarkKind::Repost);
    let facts = match source.cached_facts(mark) {
        Some(facts) => Some(facts),
        None => source.facts(&[mark])?.pop(),
    };
    let by = source.state.users.get(by);
    let entry = by.and_then(|by| rules.entry(mark, by, facts.as_ref(), Moment::NOW));
    Ok(entry.filter(|entry| !entry.is_retracted))
}

/// The newest *unsettled* position before `before`: the feed of `user` may differ there after an
/// author left it or is shown again. The entries of that author do not count. [`Revision::ZERO`] if
/// there is none.
///
/// Near entries decide about reposts, and other follows, blocks and mutes about posts that reply or
/// quote; all other entries depend on their author only. Own posts always stay.
///
/// # Errors
/// A mark is not in memory; or the index cannot be read.
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
    let mut reached = before;
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
        reached = mark.revision();
        source.skip(1)?;
    }
    Ok(reached.previous())
}
