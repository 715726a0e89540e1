//! Posts as somebody sees them: which they see, and with which counts.
//!
//! Who is apart from nobody, as nearly all are, sees the counts that are stored. For others what
//! those do whom they do not see is subtracted: one look for each of those, or one for each of what
//! is counted, whichever are fewer.

use std::sync::Arc;

use super::answers::{Counts, PostView};
use super::fact::{Key, Place, PostCounts, Table, Value};
use super::facts::Order;
use super::ids::UserIx;
use super::{Happened, ReadError, View};
use crate::log;
use crate::model::{Post, PostId, UserId};

/// Somebody who reads, and whom they do not see; of one moment.
#[derive(Debug)]
pub(super) struct Viewer {
    /// `None` if the log has not named them.
    user: Option<UserIx>,
    /// Sorted.
    apart: Vec<UserIx>,
}

impl Viewer {
    /// Whether they see what `other` does.
    pub(super) fn sees(&self, other: UserIx) -> bool {
        self.apart.binary_search(&other).is_err()
    }

    /// Whom they do not see, sorted.
    pub(super) fn apart(&self) -> &[UserIx] {
        &self.apart
    }
}

impl View {
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
            if counts != PostCounts::default() && !viewer.apart.is_empty() {
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

    /// As [`View::post_views_at_hand`]. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn post_views(
        &self,
        viewer: &UserId,
        posts: Vec<Arc<Post>>,
    ) -> Result<Vec<PostView>, log::Error> {
        self.views_for(&self.viewer(viewer), posts)
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
        posts.retain(|post| self.is_seen(&seen_by, post));
        self.post_views_at_hand(viewer, &posts)
    }

    /// Those of the posts named `ids` that there are and that `viewer` sees. May read the log and the
    /// index, which blocks for a moment.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn posts_seen(&self, viewer: &UserId, ids: &[PostId]) -> Result<Vec<PostView>, ReadError> {
        let viewer = self.viewer(viewer);
        let revisions = ids.iter().map(|id| id.revision());
        let revisions: Vec<_> = revisions.filter(|&at| self.has_applied(at)).collect();
        let posts = self.happened(&revisions)?.into_iter().filter_map(|happened| match happened {
            Some(Happened::Post(post)) if self.is_seen(&viewer, &post) => Some(post),
            _ => None,
        });
        Ok(self.views_for(&viewer, posts.collect())?)
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
            Some(Happened::Post(post)) => self.is_seen(&self.viewer(viewer), &post),
            _ => false,
        })
    }

    pub(super) fn viewer(&self, viewer: &UserId) -> Viewer {
        let user = self.ids.get(viewer);
        let apart = user.map_or_else(Vec::new, |user| self.hidden.apart_from(user));
        Viewer { user, apart }
    }

    /// Whether `viewer` sees `post`, if it is there.
    pub(super) fn is_seen(&self, viewer: &Viewer, post: &Post) -> bool {
        // The log is ahead of the view by what is being applied.
        post.revision <= self.applied()
            && self.ids.get(&post.author).is_none_or(|author| viewer.sees(author))
    }

    /// `posts`, which `viewer` sees, with what is counted of them.
    pub(super) fn views_for(
        &self,
        viewer: &Viewer,
        posts: Vec<Arc<Post>>,
    ) -> Result<Vec<PostView>, log::Error> {
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

    fn counts_at_hand(&self, post: PostId) -> Option<PostCounts> {
        let known = self.facts.get_at_hand(Key::of(Table::PostCounts, post));
        let known = known.map(|counts| counts.map_or_else(PostCounts::default, Value::post_counts));
        known.or_else(|| self.tallies.get(post.into()))
    }

    /// The stored counts of `posts`.
    fn counts(&self, posts: &[Arc<Post>]) -> Result<Vec<PostCounts>, log::Error> {
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

    /// `counts`, the stored ones of `post`, without what is done by those whom `viewer` does not
    /// see.
    fn counts_for(
        &self,
        viewer: &Viewer,
        post: PostId,
        counts: PostCounts,
    ) -> Result<PostCounts, log::Error> {
        if viewer.apart.is_empty() || counts == PostCounts::default() {
            return Ok(counts);
        }
        let PostCounts { likes, reposts, replies, quotes } = counts;
        let unseen = PostCounts {
            likes: self.unseen_reactions(viewer, post, (Table::Like, Table::Likes), likes)?,
            reposts: self.unseen_reactions(
                viewer,
                post,
                (Table::Repost, Table::Reposts),
                reposts,
            )?,
            ..self.unseen_answers(viewer, post, replies.saturating_add(quotes))?
        };
        Ok(PostCounts {
            likes: likes.saturating_sub(unseen.likes),
            reposts: reposts.saturating_sub(unseen.reposts),
            replies: replies.saturating_sub(unseen.replies),
            quotes: quotes.saturating_sub(unseen.quotes),
        })
    }

    /// How many of the `count` reactions to a post are of users whom `viewer` does not see. The one
    /// table has them by user, the other is their list.
    fn unseen_reactions(
        &self,
        viewer: &Viewer,
        post: PostId,
        (by_user, list): (Table, Table),
        count: u32,
    ) -> Result<u32, log::Error> {
        if viewer.apart.len() > count as usize {
            return self.unseen_in_list(viewer, post, list, count);
        }
        Ok(tally(self.of_those_apart(viewer, post, by_user)?.count()))
    }

    /// The replies and quotes among the `count` answers to a post that are by users whom `viewer`
    /// does not see.
    fn unseen_answers(
        &self,
        viewer: &Viewer,
        post: PostId,
        count: u32,
    ) -> Result<PostCounts, log::Error> {
        let mut unseen = PostCounts::default();
        if viewer.apart.len() > count as usize {
            unseen.replies = self.unseen_in_list(viewer, post, Table::Replies, count)?;
            unseen.quotes = self.unseen_in_list(viewer, post, Table::Quotes, count)?;
        } else {
            for of_one in self.of_those_apart(viewer, post, Table::Answers)? {
                let PostCounts { replies, quotes, .. } = of_one.post_counts();
                unseen.replies += replies;
                unseen.quotes += quotes;
            }
        }
        Ok(unseen)
    }

    /// What a table says about a post and each of those whom `viewer` does not see.
    fn of_those_apart(
        &self,
        viewer: &Viewer,
        post: PostId,
        table: Table,
    ) -> Result<impl Iterator<Item = Value> + use<>, log::Error> {
        let keys: Vec<_> = viewer.apart.iter().map(|&user| Key::new(table, post, user)).collect();
        Ok(self.facts.get_many(&keys)?.into_iter().flatten())
    }

    /// How many in a list about a post, which has `count` that stand, are of users whom `viewer` does
    /// not see.
    fn unseen_in_list(
        &self,
        viewer: &Viewer,
        post: PostId,
        list: Table,
        count: u32,
    ) -> Result<u32, log::Error> {
        if count == 0 {
            return Ok(0);
        }
        let about = (list, post.into());
        let all = self.facts.list(about, Place::LAST, Order::NewestFirst, usize::MAX)?;
        let is_unseen = |&(place, value): &(Place, Value)| {
            self.hidden.retracted(place.revision()).is_none() && !viewer.sees(value.user())
        };
        Ok(tally(all.iter().filter(|row| is_unseen(row)).count()))
    }
}

/// A number of facts, of which there are never 2^32 about a post.
fn tally(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl From<PostCounts> for Counts {
    fn from(counts: PostCounts) -> Self {
        let PostCounts { likes, reposts, replies, quotes } = counts;
        let [likes, reposts, replies, quotes] = [likes, reposts, replies, quotes].map(u64::from);
        Self { likes, reposts, replies, quotes }
    }
}
