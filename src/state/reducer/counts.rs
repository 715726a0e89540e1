//! What a change does to the counts: each is a fact, and the length of a list.
//!
//! What one user alone has done is counted too, so that a reader who does not see them can be told
//! the rest; and for each such count there is a place in a list, so that it can be found from either
//! side.

use super::{EventReducer, ReducerStore};
use crate::model::PostId;
use crate::state::records::record::{
    Key, LikesByUser, PostCounts, RepliesByUser, Table, UserCounts, Value,
};
use crate::state::users::UserIx;

/// How a post is about another.
#[derive(Clone, Copy)]
pub(crate) enum ReferenceKind {
    Reply,
    Quote,
}

impl ReferenceKind {
    /// The count of this kind.
    fn of<'a>(self, replies: &'a mut u32, quotes: &'a mut u32) -> &'a mut u32 {
        match self {
            Self::Reply => replies,
            Self::Quote => quotes,
        }
    }
}

/// ChangeTimelines a count.
///
/// # Panics
/// It would be below 0 or beyond its type: what is counted is not what happened.
pub(crate) fn count<N>(count: &mut N, by: i64)
where
    N: Copy + std::fmt::Display + Into<u64> + TryFrom<u64>,
{
    let before: u64 = (*count).into();
    let counted = before.checked_add_signed(by);
    match counted.and_then(|counted| N::try_from(counted).ok()) {
        Some(counted) => *count = counted,
        None => panic!("a count of {count} cannot change by {by}"),
    }
}

impl<S: ReducerStore> EventReducer<'_, S> {
    fn counts_of_post(&self, post: PostId) -> Result<PostCounts, S::Error> {
        let counts = self.store.get(Key::of(Table::PostCounts, post))?;
        Ok(counts.map_or_else(PostCounts::default, Value::post_counts))
    }

    pub(crate) fn count_of_post(
        &mut self,
        post: PostId,
        change: impl FnOnce(&mut PostCounts),
    ) -> Result<(), S::Error> {
        let mut counts = self.counts_of_post(post)?;
        change(&mut counts);
        self.put(Key::of(Table::PostCounts, post), Some(counts.into()));
        Ok(())
    }

    /// Counts an answer to `post` or a quote of it, by `author`.
    pub(crate) fn count_answer(
        &mut self,
        post: PostId,
        author: UserIx,
        kind: ReferenceKind,
        by: i64,
    ) -> Result<(), S::Error> {
        let mut of_all = self.counts_of_post(post)?;
        let is_first = of_all.replies == 0 && of_all.quotes == 0;
        count(kind.of(&mut of_all.replies, &mut of_all.quotes), by);
        self.put(Key::of(Table::PostCounts, post), Some(of_all.into()));

        let key = Key::new(Table::Answers, post, author);
        // Most are the first to answer, and a look may cost a read of the index.
        let before = if is_first { None } else { self.store.get(key)?.map(Value::replies_by_user) };
        let mut now = before.unwrap_or(RepliesByUser { since: self.at, replies: 0, quotes: 0 });
        count(kind.of(&mut now.replies, &mut now.quotes), by);
        let is_some = now.replies > 0 || now.quotes > 0;
        self.put(key, is_some.then(|| now.into()));
        if before.is_some() != is_some {
            let place = Key::new(Table::Answerers, post, now.since);
            self.put(place, is_some.then(|| author.into()));
        }
        Ok(())
    }

    /// Counts a like of one of `author`'s posts, by `user`.
    pub(crate) fn count_liked(
        &mut self,
        author: UserIx,
        user: UserIx,
        by: i64,
    ) -> Result<(), S::Error> {
        let key = Key::new(Table::Likings, author, user);
        let before = self.store.get(key)?.map(Value::likes_by_user);
        let mut now = before.unwrap_or(LikesByUser { since: self.at, posts: 0 });
        count(&mut now.posts, by);
        let is_some = now.posts > 0;
        self.put(key, is_some.then(|| now.into()));
        if before.is_some() != is_some {
            let place = Key::new(Table::Likers, author, now.since);
            self.put(place, is_some.then(|| user.into()));
        }
        Ok(())
    }

    pub(crate) fn count_of_user(
        &mut self,
        user: UserIx,
        change: impl FnOnce(&mut UserCounts),
    ) -> Result<(), S::Error> {
        let key = Key::of(Table::UserCounts, user);
        let mut counts = self.store.get(key)?.map_or_else(UserCounts::default, Value::user_counts);
        change(&mut counts);
        self.put(key, Some(counts.into()));
        Ok(())
    }
}
