//! Posts as a viewer sees them: with their counts, and whether the viewer likes or reposted them.
//! It never checks whether the viewer sees a post: the caller has.
//!
//! For a viewer without a block in either direction, as nearly all are, the counts are the stored
//! ones. For others, the shares of the users whom they do not see are subtracted: by one lookup for
//! each of those users, or for each counted user, whichever are fewer. Both can be many only for a
//! viewer with very many blockers.

use std::sync::Arc;

use super::results::{Counts, PostView};
use super::scan::RecordScan;
use super::{Source, Unanswered};
use crate::model::{Post, PostId, UserId};
use crate::state::State;
use crate::state::records::ListOrder;
use crate::state::records::record::{
    Key, Position, PostCounts, RepliesByUser, Subject, Table, Value,
};
use crate::state::users::UserIx;
use crate::state::visibility::Visibility;

/// Records that are read between two checks for a cancelled call.
const RECORDS_AT_ONCE: usize = 1_024;

/// The user who reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer<'a> {
    visibility: &'a Visibility,
    /// `None` if the user does not occur in the log.
    user: Option<UserIx>,
}

pub(super) fn viewer<'a>(state: &'a State, user: &UserId) -> Viewer<'a> {
    Viewer { visibility: &state.visibility, user: state.users.get(user) }
}

impl<'a> Viewer<'a> {
    /// Whether the viewer sees `other`.
    pub(super) fn sees(self, other: UserIx) -> bool {
        self.user.is_none_or(|user| !self.visibility.is_blocked_either_way(user, other))
    }

    /// Whether the viewer sees an existing post.
    pub(super) fn sees_post(self, state: &State, post: &Post) -> bool {
        // The log and the cache may have a post that is not applied yet.
        post.revision <= state.applied()
            && state.users.get(&post.author).is_none_or(|author| self.sees(author))
    }

    /// At least the number of users whom the viewer does not see.
    pub(super) fn unseen_count_max(self) -> usize {
        self.user.map_or(0, |user| self.visibility.blocked_count_max(user))
    }

    /// The users whom the viewer does not see, each once, in chunks.
    pub(super) fn unseen(self) -> impl Iterator<Item = Vec<UserIx>> + use<'a> {
        self.user.into_iter().flat_map(move |user| self.visibility.blocked_with(user))
    }
}

/// Adds the counts and the viewer's own reactions to `posts`, which `viewer` sees.
///
/// # Errors
/// A record is not in memory; or the index cannot be read.
pub(super) fn views(
    source: &Source<'_>,
    viewer: Viewer<'_>,
    posts: Vec<Arc<Post>>,
) -> Result<Vec<PostView>, Unanswered> {
    let stored = stored_counts(source, &posts)?;
    let mut reactions = Vec::new().into_iter();
    if let Some(user) = viewer.user {
        let mut keys = Vec::new();
        for (post, counts) in posts.iter().zip(&stored) {
            let key = |table| Key::of_user(table, post.id().into(), user);
            let likes = (counts.likes > 0).then(|| key(Table::Like));
            let reposts = (counts.reposts > 0).then(|| key(Table::Repost));
            keys.extend(likes.into_iter().chain(reposts));
        }
        let read = match source.is_memory() {
            true => source.records(&keys)?,
            false => {
                source.count(keys.len());
                source.state.records.get_reactions(user, &keys)?
            }
        };
        reactions = read.into_iter();
    }
    let mut reacted = |count| count > 0 && reactions.next().is_some_and(|record| record.is_some());
    let view = |(post, counts): (Arc<Post>, PostCounts)| {
        let (liked, reposted) = (reacted(counts.likes), reacted(counts.reposts));
        let counts = seen_counts(source, viewer, post.id(), counts)?;
        Ok(PostView { post, counts: counts.into(), liked, reposted })
    };
    posts.into_iter().zip(stored).map(view).collect()
}

/// The stored counts of `posts`, with all users included.
fn stored_counts(source: &Source<'_>, posts: &[Arc<Post>]) -> Result<Vec<PostCounts>, Unanswered> {
    let kept = &source.state.posts;
    let mut counts: Vec<_> = posts.iter().map(|post| kept.counts(post.id())).collect();
    let unknown = counts.iter().zip(posts).filter(|(counts, _)| counts.is_none());
    let unknown: Vec<_> = unknown.map(|(_, post)| post.id()).collect();
    // Before the read, so that a change after this invalidates the kept counts.
    let generations: Vec<_> = unknown.iter().map(|&post| kept.generation(post)).collect();
    let keys: Vec<_> = unknown.iter().map(|&post| Key::of(Table::PostCounts, post)).collect();
    let read = source.records(&keys)?.into_iter().zip(unknown).zip(generations);
    let mut read = read.map(|((value, post), generation)| {
        let counts = value.map_or_else(PostCounts::default, Value::post_counts);
        kept.keep_counts(post, counts, generation);
        counts
    });
    for counts in counts.iter_mut().filter(|counts| counts.is_none()) {
        *counts = read.next();
    }
    Ok(counts.into_iter().flatten().collect())
}

/// Subtracts from `counts`, the stored ones of `post`, the shares of the users whom `viewer` does
/// not see.
fn seen_counts(
    source: &Source<'_>,
    viewer: Viewer<'_>,
    post: PostId,
    counts: PostCounts,
) -> Result<PostCounts, Unanswered> {
    let mut seen = counts;
    if viewer.unseen_count_max() == 0 || counts == PostCounts::default() {
        return Ok(seen);
    }
    let subject = post.into();
    let replies = u64::from(counts.replies) + u64::from(counts.quotes);
    let likes = (Table::Like, Table::Likes, subject);
    for_each_unseen(source, viewer, likes, counts.likes.into(), |_| subtract(&mut seen.likes, 1))?;
    let reposts = (Table::Repost, Table::Reposts, subject);
    for_each_unseen(source, viewer, reposts, counts.reposts.into(), |_| {
        subtract(&mut seen.reposts, 1)
    })?;
    for_each_unseen(
        source,
        viewer,
        (Table::RepliesByUser, Table::Repliers, subject),
        replies,
        |value| {
            let RepliesByUser { replies, quotes, .. } = value.replies_by_user();
            subtract(&mut seen.replies, replies);
            subtract(&mut seen.quotes, quotes);
        },
    )?;
    Ok(seen)
}

/// Calls `found` for each record of the table `by_user` about `subject` and a user whom `viewer`
/// does not see. The table `list` lists the users with such a record, at most `count`.
///
/// Scans the shorter of two lists: those users, or the users whom the viewer does not see.
///
/// # Errors
/// A record is not in memory; the index cannot be read; or the call is cancelled.
pub(super) fn for_each_unseen(
    source: &Source<'_>,
    viewer: Viewer<'_>,
    (by_user, list, subject): (Table, Table, Subject),
    count: u64,
    mut found: impl FnMut(Value),
) -> Result<(), Unanswered> {
    let unseen_max = viewer.unseen_count_max();
    if count == 0 || unseen_max == 0 {
        return Ok(());
    }
    let mut read = |users: &[UserIx]| {
        source.skip(users.len())?;
        let keys: Vec<_> = users.iter().map(|&user| Key::of_user(by_user, subject, user)).collect();
        source.records(&keys)?.into_iter().flatten().for_each(&mut found);
        Ok(())
    };
    if unseen_max as u64 <= count {
        return viewer.unseen().try_for_each(|users| read(&users));
    }
    let (order, first) = (ListOrder::OldestFirst, Position::FIRST);
    let mut listed = RecordScan::new(source, (list, subject), order, first, RECORDS_AT_ONCE);
    loop {
        let some: Vec<_> =
            listed.by_ref().take(RECORDS_AT_ONCE).collect::<Result<_, Unanswered>>()?;
        let users = some.iter().map(|(_, value)| value.user());
        read(&users.filter(|&user| !viewer.sees(user)).collect::<Vec<_>>())?;
        if some.len() < RECORDS_AT_ONCE {
            return Ok(());
        }
    }
}

/// Subtracts a share that was read after the count, so it may include later changes.
fn subtract(count: &mut u32, by: u32) {
    *count = count.saturating_sub(by);
}

impl From<PostCounts> for Counts {
    fn from(counts: PostCounts) -> Self {
        let PostCounts { likes, reposts, replies, quotes } = counts;
        let [likes, reposts, replies, quotes] = [likes, reposts, replies, quotes].map(u64::from);
        Self { likes, reposts, replies, quotes }
    }
}
