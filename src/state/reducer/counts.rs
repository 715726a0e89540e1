//! Counts: each count is a record, and equals the length of a list. A count never includes a
//! retracted item.
//!
//! The share of each single user is counted too, so that it can be subtracted for a reader who does
//! not see that user. Each share has two records, one by user and one in a list, so that it is
//! found from the reader's blocks and from the post or author.

use super::{EventReducer, ReducerStore};
use crate::model::PostId;
use crate::state::records::record::{
    Key, LikesByUser, PostCounts, RepliesByUser, Table, UserCounts, Value,
};
use crate::state::users::UserIx;

/// How a post refers to another.
#[derive(Clone, Copy)]
pub(crate) enum ReferenceKind {
    Reply,
    Quote,
}

impl ReferenceKind {
    fn count_of<'a>(self, replies: &'a mut u32, quotes: &'a mut u32) -> &'a mut u32 {
        match self {
            Self::Reply => replies,
            Self::Quote => quotes,
        }
    }
}

/// Adds `by` to a count.
///
/// # Panics
/// The result is below 0 or above the maximum of its type: the counts do not match the events.
pub(crate) fn add<N>(count: &mut N, by: i64)
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

    pub(crate) fn update_post_counts(
        &mut self,
        post: PostId,
        change: impl FnOnce(&mut PostCounts),
    ) -> Result<(), S::Error> {
        let mut counts = self.counts_of_post(post)?;
        change(&mut counts);
        self.put(Key::of(Table::PostCounts, post), Some(counts.into()));
        Ok(())
    }

    /// Adds `by` to the replies to `post` or its quotes, in total and by `author`.
    pub(crate) fn count_reference(
        &mut self,
        post: PostId,
        author: UserIx,
        kind: ReferenceKind,
        by: i64,
    ) -> Result<(), S::Error> {
        let mut of_all = self.counts_of_post(post)?;
        let is_first = of_all.replies == 0 && of_all.quotes == 0;
        add(kind.count_of(&mut of_all.replies, &mut of_all.quotes), by);
        self.put(Key::of(Table::PostCounts, post), Some(of_all.into()));

        let key = Key::new(Table::RepliesByUser, post, author);
        // Most replies are the first of their post, and a lookup may read the index.
        let before = if is_first { None } else { self.store.get(key)?.map(Value::replies_by_user) };
        let mut now = before.unwrap_or(RepliesByUser { since: self.at, replies: 0, quotes: 0 });
        add(kind.count_of(&mut now.replies, &mut now.quotes), by);
        let is_some = now.replies > 0 || now.quotes > 0;
        self.put(key, is_some.then(|| now.into()));
        if before.is_some() != is_some {
            let position = Key::new(Table::Repliers, post, now.since);
            self.put(position, is_some.then(|| author.into()));
        }
        Ok(())
    }

    /// Adds `by` to the likes that `user` gave to posts of `author`.
    pub(crate) fn count_like_by_user(
        &mut self,
        author: UserIx,
        user: UserIx,
        by: i64,
    ) -> Result<(), S::Error> {
        let key = Key::new(Table::LikesByUser, author, user);
        let before = self.store.get(key)?.map(Value::likes_by_user);
        let mut now = before.unwrap_or(LikesByUser { since: self.at, posts: 0 });
        add(&mut now.posts, by);
        let is_some = now.posts > 0;
        self.put(key, is_some.then(|| now.into()));
        if before.is_some() != is_some {
            let position = Key::new(Table::Likers, author, now.since);
            self.put(position, is_some.then(|| user.into()));
        }
        Ok(())
    }

    pub(crate) fn update_user_counts(
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
