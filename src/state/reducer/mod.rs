//! The reducer: the effects of each change on the follow graph, the timelines, and the records. It
//! never reads a clock, a map or a file.
//!
//! ```text
//!   applier ──▶ apply ──▶ MemoryStore ──▶ the state in memory
//!   indexer ──▶ apply ──▶ IndexStore  ──▶ rows for the index
//!   a check ──▶ apply ──▶ IndexCheck  ──▶ rows to compare the index with
//! ```
//!
//! Each change is applied twice, to two kinds of [`ReducerStore`], by the same code, so memory and
//! the index always agree.

pub(crate) mod check;
mod counts;
pub(crate) mod index;
pub(crate) mod memory;

use super::records::record::{Key, NotificationKind, NotificationRecord, Subject, Table, Value};
use super::reducer::counts::{ReferenceKind, add};
use super::users::UserIx;
use crate::model::{
    Change, Content, Event, LogTime, Mark, MarkKind, PostId, PostRef, RequestId, Revision,
    SeveredFollows, UserId,
};

/// The graph, timelines and records that changes are applied to.
pub(crate) trait ReducerStore {
    /// The error of a failed read.
    type Error;

    /// The number of `user`, which is assigned now if there is none.
    fn number(&mut self, user: &UserId) -> UserIx;

    /// The revision of the follow; `None` if `follower` does not follow `followee`.
    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, Self::Error>;

    /// Sets the follow, or removes it; `at` is the revision of the change.
    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        at: Revision,
    );

    /// Appends `mark` to the timeline of `author`, which the feeds of all followers are merged
    /// from.
    fn push_mark(&mut self, author: UserIx, mark: Mark);

    /// Appends `mark` to the changes of `user`, which only the user's own feeds are affected by.
    fn push_change(&mut self, user: UserIx, mark: Mark);

    /// Adds the use of a request id; `time` is the log's own time.
    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    );

    /// The record at `key`; `None` if there is none.
    fn get(&self, key: Key) -> Result<Option<Value>, Self::Error>;

    /// Sets the record at `key`, or removes it; `at` is the revision of the change.
    fn put(&mut self, key: Key, value: Option<Value>, at: Revision);

    /// All records of `table` about `subject`.
    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, Self::Error>;
}

/// Applies `event`, the next one after those that `store` has.
///
/// # Errors
/// The first error of the store, which is then half changed and must not be used further.
pub(crate) fn apply<S: ReducerStore>(
    store: &mut S,
    revision: Revision,
    event: &Event,
) -> Result<(), S::Error> {
    EventReducer { store, at: revision, time: event.log_time }.apply(&event.change)
}

/// Applies one event to a store.
pub(crate) struct EventReducer<'a, S> {
    pub(crate) store: &'a mut S,
    pub(crate) at: Revision,
    time: LogTime,
}

impl<S: ReducerStore> EventReducer<'_, S> {
    fn apply(&mut self, change: &Change) -> Result<(), S::Error> {
        match change {
            Change::Follow { follower, followee } => {
                self.follow(follower, followee);
                Ok(())
            }
            Change::Unfollow { follower, followee, .. } => {
                let (follower, followee) = self.numbers(follower, followee);
                self.push_change(follower);
                self.push_change(followee);
                self.unfollow(follower, followee)
            }
            Change::Publish { author, content, request_id } => {
                self.publish(author, content, request_id.as_ref())
            }
            Change::Erased { author, reply_to, quote, request_id } => {
                let rest = Content::erased(reply_to.clone(), quote.clone());
                self.publish(author, &rest, request_id.as_ref())
            }
            Change::Delete { post, reply_to, quote, notified } => {
                self.delete(post, *reply_to, *quote)?;
                self.push_change_of(&post.author);
                notified.iter().for_each(|user| self.push_change_of(user));
                Ok(())
            }
            Change::Like { user, post } => self.like(user, post),
            Change::Unlike { user, post, .. } => self.unlike(user, post),
            Change::Repost { user, post } => self.repost(user, post),
            Change::Unrepost { user, post, .. } => self.unrepost(user, post),
            Change::Block { blocker, blocked, severed } => self.block(blocker, blocked, *severed),
            Change::Unblock { blocker, blocked } => {
                self.unblock(blocker, blocked);
                Ok(())
            }
            Change::Mute { muter, muted } => {
                let (muter, muted) = self.numbers(muter, muted);
                self.put(Key::new(Table::Mutes, muter, muted), Some(self.at.into()));
                self.push_change(muter);
                Ok(())
            }
            Change::Unmute { muter, muted, .. } => {
                let (muter, muted) = self.numbers(muter, muted);
                self.put(Key::new(Table::Mutes, muter, muted), None);
                self.put(Key::new(Table::ShownSince, muter, muted), Some(self.at.into()));
                self.push_change(muter);
                Ok(())
            }
            Change::See { user, until } => {
                let user = self.store.number(user);
                self.put(Key::of(Table::Seen, user), Some((*until).into()));
                self.push_change(user);
                Ok(())
            }
        }
    }

    fn follow(&mut self, follower: &UserId, followee: &UserId) {
        let (follower, followee) = self.numbers(follower, followee);
        self.store.set_follow(follower, followee, Some(self.at), self.at);
        self.push_change(follower);
        self.put(Key::new(Table::Followers, followee, self.at), Some(follower.into()));
    }

    fn unfollow(&mut self, follower: UserIx, followee: UserIx) -> Result<(), S::Error> {
        let since = self.store.followed_since(follower, followee)?;
        self.store.set_follow(follower, followee, None, self.at);
        if let Some(since) = since {
            self.put(Key::new(Table::Followers, followee, since), None);
        }
        Ok(())
    }

    fn block(
        &mut self,
        blocker: &UserId,
        blocked: &UserId,
        severed: SeveredFollows,
    ) -> Result<(), S::Error> {
        let (blocker, blocked) = self.numbers(blocker, blocked);
        self.put(Key::new(Table::Blocks, blocker, blocked), Some(self.at.into()));
        self.push_change(blocker);
        self.push_change(blocked);
        if severed.following {
            self.unfollow(blocker, blocked)?;
        }
        if severed.follower {
            self.unfollow(blocked, blocker)?;
        }
        Ok(())
    }

    fn unblock(&mut self, blocker: &UserId, blocked: &UserId) {
        let (blocker, blocked) = self.numbers(blocker, blocked);
        self.put(Key::new(Table::Blocks, blocker, blocked), None);
        self.put(Key::new(Table::ShownSince, blocker, blocked), Some(self.at.into()));
        self.put(Key::new(Table::ShownSince, blocked, blocker), Some(self.at.into()));
        self.push_change(blocker);
        self.push_change(blocked);
    }

    fn publish(
        &mut self,
        author: &UserId,
        content: &Content,
        request_id: Option<&RequestId>,
    ) -> Result<(), S::Error> {
        if let Some(request_id) = request_id {
            self.store.push_request(author, request_id, self.at, self.time);
        }
        let number = self.store.number(author);
        let kind =
            if content.is_conditional(author) { MarkKind::Conditional } else { MarkKind::Post };
        self.store.push_mark(number, Mark::new(self.at, kind));
        self.update_user_counts(number, |counts| add(&mut counts.posts, 1))?;

        let mut notified = Vec::new();
        if let Some(reply_to) = &content.reply_to {
            let parent = &reply_to.parent;
            self.put(Key::new(Table::Replies, parent.id, self.at), Some(number.into()));
            self.count_reference(parent.id, number, ReferenceKind::Reply, 1)?;
            self.notify_of_post(number, NotificationKind::Reply, parent, &mut notified);
        }
        if let Some(quote) = &content.quote {
            self.put(Key::new(Table::Quotes, quote.id, self.at), Some(number.into()));
            self.count_reference(quote.id, number, ReferenceKind::Quote, 1)?;
            self.notify_of_post(number, NotificationKind::Quote, quote, &mut notified);
        }
        for mentioned in &content.mentioned {
            // Mentioned users have numbers already, except in a log of the first format: there a
            // mention made a user.
            let mentioned = self.store.number(mentioned);
            // The engine refuses other references between blocked users, but not names in a text.
            if !notified.contains(&mentioned) && !self.is_blocked_either_way(number, mentioned)? {
                let (kind, post) = (NotificationKind::Mention, Revision::ZERO);
                self.notify(mentioned, NotificationRecord { kind, actor: number, post });
            }
        }
        Ok(())
    }

    fn delete(
        &mut self,
        post: &PostRef,
        reply_to: Option<PostId>,
        quote: Option<PostId>,
    ) -> Result<(), S::Error> {
        let author = self.store.number(&post.author);
        self.put(Key::of(Table::Retracted, post.id), Some(self.at.into()));
        let deletion = Mark::new(self.at, MarkKind::Change);
        self.store.push_mark(author, deletion);
        for (_, reposter) in self.store.all(Table::Reposts, post.id.into())? {
            let reposter = reposter.user();
            // One mark per timeline, also if the author reposted the own post.
            if reposter != author {
                self.store.push_mark(reposter, deletion);
            }
        }
        let mut likes = 0;
        for (_, liker) in self.store.all(Table::Likes, post.id.into())? {
            self.count_like_by_user(author, liker.user(), -1)?;
            likes += 1;
        }
        self.update_user_counts(author, |counts| {
            add(&mut counts.posts, -1);
            add(&mut counts.likes, -likes);
        })?;
        if let Some(parent) = reply_to {
            self.count_reference(parent, author, ReferenceKind::Reply, -1)?;
        }
        if let Some(quoted) = quote {
            self.put(Key::new(Table::Quotes, quoted, post.id.revision()), None);
            self.count_reference(quoted, author, ReferenceKind::Quote, -1)?;
        }
        Ok(())
    }

    fn like(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        self.put(Key::of_user(Table::Like, post.id.into(), user), Some(self.at.into()));
        self.put(Key::new(Table::Likes, post.id, self.at), Some(user.into()));
        self.update_post_counts(post.id, |counts| add(&mut counts.likes, 1))?;
        self.update_user_counts(author, |counts| add(&mut counts.likes, 1))?;
        self.count_like_by_user(author, user, 1)?;
        let post = post.id.revision();
        self.notify(author, NotificationRecord { kind: NotificationKind::Like, actor: user, post });
        Ok(())
    }

    fn unlike(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        let Some(since) = self.remove_since(Key::of_user(Table::Like, post.id.into(), user))?
        else {
            return Ok(());
        };
        self.push_withdrawal(user, author);
        self.put(Key::new(Table::Likes, post.id, since), None);
        self.put(Key::new(Table::Notifications, author, since), None);
        self.update_post_counts(post.id, |counts| add(&mut counts.likes, -1))?;
        self.update_user_counts(author, |counts| add(&mut counts.likes, -1))?;
        self.count_like_by_user(author, user, -1)
    }

    fn repost(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        self.put(Key::of_user(Table::Repost, post.id.into(), user), Some(self.at.into()));
        self.put(Key::new(Table::Reposts, post.id, self.at), Some(user.into()));
        self.store.push_mark(user, Mark::new(self.at, MarkKind::Repost));
        self.update_post_counts(post.id, |counts| add(&mut counts.reposts, 1))?;
        let post = post.id.revision();
        self.notify(
            author,
            NotificationRecord { kind: NotificationKind::Repost, actor: user, post },
        );
        Ok(())
    }

    fn unrepost(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        let Some(since) = self.remove_since(Key::of_user(Table::Repost, post.id.into(), user))?
        else {
            return Ok(());
        };
        self.push_withdrawal(user, author);
        self.put(Key::new(Table::Reposts, post.id, since), None);
        self.put(Key::new(Table::Notifications, author, since), None);
        self.put(Key::of(Table::Retracted, PostId::from_revision(since)), Some(self.at.into()));
        self.store.push_mark(user, Mark::new(self.at, MarkKind::Change));
        self.update_post_counts(post.id, |counts| add(&mut counts.reposts, -1))
    }

    /// Notifies the author of `of`, which a new post of `actor` refers to, and adds them to
    /// `notified`; except users who are in `notified` already.
    fn notify_of_post(
        &mut self,
        actor: UserIx,
        kind: NotificationKind,
        of: &PostRef,
        notified: &mut Vec<UserIx>,
    ) {
        let author = self.store.number(&of.author);
        if !notified.contains(&author) {
            notified.push(author);
            self.notify(author, NotificationRecord { kind, actor, post: of.id.revision() });
        }
    }

    /// Notifies `user`, unless they are the actor.
    fn notify(&mut self, user: UserIx, record: NotificationRecord) {
        if user != record.actor {
            self.put(Key::new(Table::Notifications, user, self.at), Some(record.into()));
        }
    }

    /// Appends the event, by which `actor` withdraws a notification of `user`, to `user`'s changes.
    fn push_withdrawal(&mut self, actor: UserIx, user: UserIx) {
        if user != actor {
            self.push_change(user);
        }
    }

    fn push_change_of(&mut self, user: &UserId) {
        let user = self.store.number(user);
        self.push_change(user);
    }

    /// Whether one of the two users blocks the other.
    fn is_blocked_either_way(&self, one: UserIx, other: UserIx) -> Result<bool, S::Error> {
        let blocks =
            |one, other| Ok(self.store.get(Key::new(Table::Blocks, one, other))?.is_some());
        Ok(blocks(one, other)? || blocks(other, one)?)
    }

    /// Appends the event to `user`'s changes.
    fn push_change(&mut self, user: UserIx) {
        self.store.push_change(user, Mark::new(self.at, MarkKind::Change));
    }

    fn numbers(&mut self, one: &UserId, other: &UserId) -> (UserIx, UserIx) {
        (self.store.number(one), self.store.number(other))
    }

    pub(crate) fn put(&mut self, key: Key, value: Option<Value>) {
        self.store.put(key, value, self.at);
    }

    /// Removes a record whose value is the revision of its start, and returns that.
    fn remove_since(&mut self, key: Key) -> Result<Option<Revision>, S::Error> {
        let since = self.store.get(key)?.map(Value::revision);
        self.put(key, None);
        Ok(since)
    }
}
