//! PostCache as somebody sees them: which they see, and with which counts.
//!
//! Who is apart from nobody, as nearly all are, sees the counts that are stored. For others what
//! those do whom they do not see is subtracted: one look for each of those, or one for each of what
//! is counted, whichever are fewer. Both may be many only for somebody whom very many block.

use std::sync::Arc;

use super::results::{Counts, PostView};
use crate::model::{Post, PostId, UserId};
use crate::state::reads::{ReadError, Reading};
use crate::state::records::Order;
use crate::state::records::record::{
    Key, Position, PostCounts, RepliesByUser, Subject, Table, Value,
};
use crate::state::records::scan::RecordScan;
use crate::state::users::UserIx;
use crate::state::visibility::Visibility;
use crate::state::{State, TimelineEvent};
use crate::storage;

/// Records that are read at once.
const AT_ONCE: usize = 1_024;

/// Somebody who reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer<'a> {
    hidden: &'a Visibility,
    /// `None` if the log has not named them.
    user: Option<UserIx>,
}

impl<'a> Viewer<'a> {
    /// Whether they see what `other` does.
    pub(crate) fn sees(self, other: UserIx) -> bool {
        self.user.is_none_or(|user| !self.hidden.are_apart(user, other))
    }

    /// No fewer than those whom they do not see.
    pub(crate) fn apart_max(self) -> usize {
        self.user.map_or(0, |user| self.hidden.apart_max(user))
    }

    /// Whom they do not see, each once, some at a time.
    pub(crate) fn apart(self) -> impl Iterator<Item = Vec<UserIx>> + use<'a> {
        self.user.into_iter().flat_map(move |user| self.hidden.apart_from(user))
    }
}

impl State {
    /// `posts`, which `viewer` sees, with what is counted of them; `None` if a part of that is not in
    /// memory. Says nothing of whether they see them.
    #[must_use]
    pub fn post_views_at_hand(
        &self,
        viewer: &UserId,
        posts: &[Arc<Post>],
    ) -> Option<Vec<PostView>> {
        let viewer = self.viewer(viewer);
        let view = |post: &Arc<Post>| {
            let counts = self.counts_at_hand(post.id())?;
            if counts != PostCounts::default() && viewer.apart_max() > 0 {
                return None;
            }
            let reacted = |table, count| match viewer.user {
                Some(user) if count > 0 => {
                    Some(self.facts.get_at_hand(Key::new(table, post.id(), user))?.is_some())
                }
                _ => Some(false),
            };
            let liked = reacted(Table::Like, counts.likes)?;
            let reposted = reacted(Table::Repost, counts.reposts)?;
            Some(PostView { post: Arc::clone(post), counts: counts.into(), liked, reposted })
        };
        posts.iter().map(view).collect()
    }

    /// Those of the posts named `ids` that there are and that `viewer` sees; `None` if a part of
    /// that is not in memory.
    #[must_use]
    pub fn posts_seen_at_hand(&self, viewer: &UserId, ids: &[PostId]) -> Option<Vec<PostView>> {
        let posts: Option<Vec<_>> = ids
            .iter()
            .filter(|id| self.hidden.retracted(id.revision()).is_none())
            .map(|id| self.cached_post(id.revision()))
            .collect();
        let mut posts = posts?;
        let seen_by = self.viewer(viewer);
        posts.retain(|post| self.is_seen(seen_by, post));
        self.post_views_at_hand(viewer, &posts)
    }

    /// Whether there is a post named `id`, and `viewer` sees it. May read the log, which blocks for a
    /// moment.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    pub fn is_post_seen(&self, viewer: &UserId, id: PostId) -> Result<bool, ReadError> {
        if !self.has_applied(id.revision()) {
            return Ok(false);
        }
        let happened = self.happened(&[id.revision()])?.pop().flatten();
        Ok(match happened {
            Some(TimelineEvent::Post(post)) => self.is_seen(self.viewer(viewer), &post),
            _ => false,
        })
    }

    pub(crate) fn viewer(&self, viewer: &UserId) -> Viewer<'_> {
        Viewer { hidden: &self.hidden, user: self.ids.get(viewer) }
    }

    /// Whether `viewer` sees `post`, if it is there.
    pub(crate) fn is_seen(&self, viewer: Viewer<'_>, post: &Post) -> bool {
        // The log is ahead of the view by what is being applied.
        post.revision <= self.applied()
            && self.ids.get(&post.author).is_none_or(|author| viewer.sees(author))
    }

    fn counts_at_hand(&self, post: PostId) -> Option<PostCounts> {
        let known = self.facts.get_at_hand(Key::of(Table::PostCounts, post));
        let known = known.map(|counts| counts.map_or_else(PostCounts::default, Value::post_counts));
        known.or_else(|| self.tallies.get(post.into()))
    }

    /// The stored counts of `posts`.
    fn counts(&self, posts: &[Arc<Post>]) -> Result<Vec<PostCounts>, storage::Error> {
        let mut counts: Vec<_> = posts.iter().map(|post| self.counts_at_hand(post.id())).collect();
        let unknown: Vec<_> =
            counts.iter().zip(posts).filter(|(counts, _)| counts.is_none()).collect();
        let unknown: Vec<_> = unknown.into_iter().map(|(_, post)| post.id()).collect();
        let generations: Vec<_> =
            unknown.iter().map(|&post| self.tallies.generation(post.into())).collect();
        let keys: Vec<_> = unknown.iter().map(|&post| Key::of(Table::PostCounts, post)).collect();
        let mut read = self.facts.get_many(&keys)?.into_iter().zip(unknown).zip(generations).map(
            |((value, post), generation)| {
                let counts = value.map_or_else(PostCounts::default, Value::post_counts);
                self.tallies.keep(post.into(), counts, generation);
                counts
            },
        );
        for counts in counts.iter_mut().filter(|counts| counts.is_none()) {
            *counts = read.next();
        }
        Ok(counts.into_iter().flatten().collect())
    }
}

impl Reading<'_> {
    /// As [`State::post_views_at_hand`]. May read the index.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn post_views(
        &self,
        viewer: &UserId,
        posts: Vec<Arc<Post>>,
    ) -> Result<Vec<PostView>, ReadError> {
        self.views_for(self.viewer(viewer), posts)
    }

    /// Those of the posts named `ids` that there are and that `viewer` sees. May read the log and the
    /// index.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn posts_seen(&self, viewer: &UserId, ids: &[PostId]) -> Result<Vec<PostView>, ReadError> {
        let viewer = self.viewer(viewer);
        let revisions = ids.iter().map(|id| id.revision());
        let revisions: Vec<_> = revisions.filter(|&at| self.has_applied(at)).collect();
        let posts = self.happened(&revisions)?.into_iter().filter_map(|happened| match happened {
            Some(TimelineEvent::Post(post)) if self.is_seen(viewer, &post) => Some(post),
            _ => None,
        });
        self.views_for(viewer, posts.collect())
    }

    /// `posts`, which `viewer` sees, with what is counted of them.
    pub(crate) fn views_for(
        &self,
        viewer: Viewer<'_>,
        posts: Vec<Arc<Post>>,
    ) -> Result<Vec<PostView>, ReadError> {
        let stored = self.counts(&posts)?;
        let mut reactions = Vec::new();
        if let Some(user) = viewer.user {
            for (post, counts) in posts.iter().zip(&stored) {
                let likes = (counts.likes > 0).then(|| Key::new(Table::Like, post.id(), user));
                let reposts =
                    (counts.reposts > 0).then(|| Key::new(Table::Repost, post.id(), user));
                reactions.extend(likes.into_iter().chain(reposts));
            }
        }
        let mut reactions = self.facts.get_many(&reactions)?.into_iter();
        let mut reacted = |count| {
            count > 0 && viewer.user.is_some() && reactions.next().is_some_and(|it| it.is_some())
        };
        let view = |(post, counts): (Arc<Post>, PostCounts)| {
            let (liked, reposted) = (reacted(counts.likes), reacted(counts.reposts));
            let counts = self.counts_for(viewer, post.id(), counts)?;
            Ok(PostView { post, counts: counts.into(), liked, reposted })
        };
        posts.into_iter().zip(stored).map(view).collect()
    }

    /// `counts`, the stored ones of `post`, without what is done by those whom `viewer` does not
    /// see.
    fn counts_for(
        &self,
        viewer: Viewer<'_>,
        post: PostId,
        counts: PostCounts,
    ) -> Result<PostCounts, ReadError> {
        let mut seen = counts;
        if viewer.apart_max() == 0 || counts == PostCounts::default() {
            return Ok(seen);
        }
        let (subject, answers) =
            (post.into(), u64::from(counts.replies) + u64::from(counts.quotes));
        self.unseen(viewer, (Table::Like, Table::Likes, subject), counts.likes.into(), |_| {
            subtract(&mut seen.likes, 1);
        })?;
        self.unseen(
            viewer,
            (Table::Repost, Table::Reposts, subject),
            counts.reposts.into(),
            |_| {
                subtract(&mut seen.reposts, 1);
            },
        )?;
        self.unseen(viewer, (Table::Answers, Table::Answerers, subject), answers, |value| {
            let RepliesByUser { replies, quotes, .. } = value.answered();
            subtract(&mut seen.replies, replies);
            subtract(&mut seen.quotes, quotes);
        })?;
        Ok(seen)
    }

    /// What one table has about `subject` and each of those whom `viewer` does not see. The other
    /// lists the users of whom the first has something, at most `count`.
    ///
    /// Whichever are fewer are gone through: those users, or those whom the viewer does not see.
    pub(crate) fn unseen(
        &self,
        viewer: Viewer<'_>,
        (by_user, list, subject): (Table, Table, Subject),
        count: u64,
        mut found: impl FnMut(Value),
    ) -> Result<(), ReadError> {
        let apart_max = viewer.apart_max();
        if count == 0 || apart_max == 0 {
            return Ok(());
        }
        let mut look = |users: &[UserIx]| {
            self.caller().check()?;
            let key = |&user| Key::new(by_user, subject, user);
            let keys: Vec<_> = users.iter().map(key).collect();
            self.facts.get_many(&keys)?.into_iter().flatten().for_each(&mut found);
            Ok(())
        };
        if apart_max as u64 <= count {
            return viewer.apart().try_for_each(|users| look(&users));
        }
        let mut listed = RecordScan::new(
            &self.facts,
            (list, subject),
            Order::OldestFirst,
            Position::FIRST,
            AT_ONCE,
        );
        loop {
            let some: Vec<_> = listed.by_ref().take(AT_ONCE).collect::<Result<_, _>>()?;
            let users = some.iter().map(|(_, value)| value.user());
            look(&users.filter(|&user| !viewer.sees(user)).collect::<Vec<_>>())?;
            if some.len() < AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Subtracts from a count what was found later. What came in between may be more.
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
