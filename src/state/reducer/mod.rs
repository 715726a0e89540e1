//! What each change does: the one place that says it, for memory and for the index alike.
//!
//! Beside the follow graph and the lists of what everybody published there are *facts*: small rows
//! of numbers, of who likes what, how often, who answered whom. A change is applied twice: by the
//! applier, to what is in memory, and by the indexer, to the rows that it is about to write. Both
//! are a [`ReducerStore`], so both come to the same.
//!
//! Nothing here reads a clock, a map or a file.

mod counts;
pub(crate) mod index;
pub(crate) mod memory;

use super::records::record::{Key, NotificationKind, NotificationRecord, Subject, Table, Value};
use super::reducer::counts::{ReferenceKind, count};
use super::users::UserIx;
use crate::model::{
    Change, Content, Event, LogTime, Mark, MarkKind, PostId, PostRef, RequestId, Revision, UserId,
};

/// What changes are applied to.
pub(crate) trait ReducerStore {
    /// Why it cannot be read.
    type Error;

    /// The number of `user`, given now if they had none.
    fn number(&mut self, user: &UserId) -> UserIx;

    /// Since when `follower` follows `followee`.
    fn followed_since(
        &self,
        follower: UserIx,
        followee: UserIx,
    ) -> Result<Option<Revision>, Self::Error>;

    /// From `at` on, `follower` has followed `followee` since then, or does not.
    fn set_follow(
        &mut self,
        follower: UserIx,
        followee: UserIx,
        since: Option<Revision>,
        at: Revision,
    );

    /// Adds `mark`, which is beyond all before it, to what concerns the feeds of `author`'s
    /// followers.
    fn push_mark(&mut self, author: UserIx, mark: Mark);

    /// Adds `mark`, which is beyond all before it, to what concerns `user`'s own feeds alone.
    fn push_change(&mut self, user: UserIx, mark: Mark);

    /// Remembers the use of a request id, at `time` of the log's own.
    fn push_request(
        &mut self,
        author: &UserId,
        request_id: &RequestId,
        revision: Revision,
        time: LogTime,
    );

    /// A fact, if it is one.
    fn get(&self, key: Key) -> Result<Option<Value>, Self::Error>;

    /// Makes something a fact, or none.
    fn put(&mut self, key: Key, value: Option<Value>, at: Revision);

    /// All that a table has of a subject.
    fn all(&self, table: Table, subject: Subject) -> Result<Vec<(Key, Value)>, Self::Error>;
}

/// Applies `event`, the one after all that were applied before.
///
/// # Errors
/// The first of the store's. What was done by then is to be thrown away.
pub(crate) fn apply<S: ReducerStore>(
    store: &mut S,
    revision: Revision,
    event: &Event,
) -> Result<(), S::Error> {
    EventReducer { store, at: revision, time: event.log_time }.apply(&event.change)
}

/// One event on its way into a store.
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
                let left = Content::erased(reply_to.clone(), quote.clone());
                self.publish(author, &left, request_id.as_ref())
            }
            Change::Delete { post, reply_to, quote, notified } => {
                self.delete(post, *reply_to, *quote)?;
                self.withdraw_from(&post.author);
                notified.iter().for_each(|user| self.withdraw_from(user));
                Ok(())
            }
            Change::Like { user, post } => self.like(user, post),
            Change::Unlike { user, post, .. } => self.unlike(user, post),
            Change::Repost { user, post } => self.repost(user, post),
            Change::Unrepost { user, post, .. } => self.unrepost(user, post),
            Change::Block { blocker, blocked, severed } => {
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
            Change::Unblock { blocker, blocked } => {
                let (blocker, blocked) = self.numbers(blocker, blocked);
                self.put(Key::new(Table::Blocks, blocker, blocked), None);
                self.put(Key::new(Table::Shown, blocker, blocked), Some(self.at.into()));
                self.put(Key::new(Table::Shown, blocked, blocker), Some(self.at.into()));
                self.push_change(blocker);
                self.push_change(blocked);
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
                self.put(Key::new(Table::Shown, muter, muted), Some(self.at.into()));
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
        self.count_of_user(number, |counts| count(&mut counts.posts, 1))?;

        let mut told = Vec::new();
        if let Some(reply_to) = &content.reply_to {
            let parent = &reply_to.parent;
            self.put(Key::new(Table::Replies, parent.id, self.at), Some(number.into()));
            self.count_answer(parent.id, number, ReferenceKind::Reply, 1)?;
            self.notify_of_post(number, NotificationKind::Reply, parent, &mut told);
        }
        if let Some(quote) = &content.quote {
            self.put(Key::new(Table::Quotes, quote.id, self.at), Some(number.into()));
            self.count_answer(quote.id, number, ReferenceKind::Quote, 1)?;
            self.notify_of_post(number, NotificationKind::Quote, quote, &mut told);
        }
        for mentioned in &content.mentioned {
            // They were users already, so this gives nobody a number but in a log of the first
            // format, where whoever was mentioned was a user from then on.
            let mentioned = self.store.number(mentioned);
            // All else is refused between the two, but a text may say any name.
            if !told.contains(&mentioned) && !self.are_apart(number, mentioned)? {
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
            // Each once: somebody may have reposted a post of their own.
            if reposter != author {
                self.store.push_mark(reposter, deletion);
            }
        }
        let mut likes = 0;
        for (_, liker) in self.store.all(Table::Likes, post.id.into())? {
            self.count_liked(author, liker.user(), -1)?;
            likes += 1;
        }
        self.count_of_user(author, |counts| {
            count(&mut counts.posts, -1);
            count(&mut counts.likes, -likes);
        })?;
        if let Some(parent) = reply_to {
            self.count_answer(parent, author, ReferenceKind::Reply, -1)?;
        }
        if let Some(quoted) = quote {
            self.put(Key::new(Table::Quotes, quoted, post.id.revision()), None);
            self.count_answer(quoted, author, ReferenceKind::Quote, -1)?;
        }
        Ok(())
    }

    fn like(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        self.put(Key::new(Table::Like, post.id, user), Some(self.at.into()));
        self.put(Key::new(Table::Likes, post.id, self.at), Some(user.into()));
        self.count_of_post(post.id, |counts| count(&mut counts.likes, 1))?;
        self.count_of_user(author, |counts| count(&mut counts.likes, 1))?;
        self.count_liked(author, user, 1)?;
        let post = post.id.revision();
        self.notify(author, NotificationRecord { kind: NotificationKind::Like, actor: user, post });
        Ok(())
    }

    fn unlike(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        let Some(since) = self.take(Key::new(Table::Like, post.id, user))? else {
            return Ok(());
        };
        self.withdraw(user, author);
        self.put(Key::new(Table::Likes, post.id, since), None);
        self.put(Key::new(Table::Notices, author, since), None);
        self.count_of_post(post.id, |counts| count(&mut counts.likes, -1))?;
        self.count_of_user(author, |counts| count(&mut counts.likes, -1))?;
        self.count_liked(author, user, -1)
    }

    fn repost(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        self.put(Key::new(Table::Repost, post.id, user), Some(self.at.into()));
        self.put(Key::new(Table::Reposts, post.id, self.at), Some(user.into()));
        self.store.push_mark(user, Mark::new(self.at, MarkKind::Repost));
        self.count_of_post(post.id, |counts| count(&mut counts.reposts, 1))?;
        let post = post.id.revision();
        self.notify(
            author,
            NotificationRecord { kind: NotificationKind::Repost, actor: user, post },
        );
        Ok(())
    }

    fn unrepost(&mut self, user: &UserId, post: &PostRef) -> Result<(), S::Error> {
        let (user, author) = self.numbers(user, &post.author);
        let Some(since) = self.take(Key::new(Table::Repost, post.id, user))? else {
            return Ok(());
        };
        self.withdraw(user, author);
        self.put(Key::new(Table::Reposts, post.id, since), None);
        self.put(Key::new(Table::Notices, author, since), None);
        self.put(Key::of(Table::Retracted, PostId::from_revision(since)), Some(self.at.into()));
        self.store.push_mark(user, Mark::new(self.at, MarkKind::Change));
        self.count_of_post(post.id, |counts| count(&mut counts.reposts, -1))
    }

    /// Notifies the author of `of` that `actor` published something about it; unless they are among
    /// the `told`, who were notified of that already.
    fn notify_of_post(
        &mut self,
        actor: UserIx,
        kind: NotificationKind,
        of: &PostRef,
        told: &mut Vec<UserIx>,
    ) {
        let author = self.store.number(&of.author);
        if !told.contains(&author) {
            told.push(author);
            self.notify(author, NotificationRecord { kind, actor, post: of.id.revision() });
        }
    }

    /// Notifies `user`, unless they did it themselves.
    fn notify(&mut self, user: UserIx, notice: NotificationRecord) {
        if user != notice.actor {
            self.put(Key::new(Table::Notices, user, self.at), Some(notice.into()));
        }
    }

    /// Adds the event, by which `actor` takes back what they notified `user` of, to what concerns
    /// `user`.
    fn withdraw(&mut self, actor: UserIx, user: UserIx) {
        if user != actor {
            self.push_change(user);
        }
    }

    fn withdraw_from(&mut self, user: &UserId) {
        let user = self.store.number(user);
        self.push_change(user);
    }

    /// Whether one of the two blocks the other.
    fn are_apart(&self, one: UserIx, other: UserIx) -> Result<bool, S::Error> {
        let blocks =
            |one, other| Ok(self.store.get(Key::new(Table::Blocks, one, other))?.is_some());
        Ok(blocks(one, other)? || blocks(other, one)?)
    }

    /// Adds the event to what concerns `user`'s own feeds alone.
    fn push_change(&mut self, user: UserIx) {
        self.store.push_change(user, Mark::new(self.at, MarkKind::Change));
    }

    fn numbers(&mut self, one: &UserId, other: &UserId) -> (UserIx, UserIx) {
        (self.store.number(one), self.store.number(other))
    }

    pub(crate) fn put(&mut self, key: Key, value: Option<Value>) {
        self.store.put(key, value, self.at);
    }

    /// Ends a fact that says since when it is one, and gives that.
    fn take(&mut self, key: Key) -> Result<Option<Revision>, S::Error> {
        let since = self.store.get(key)?.map(Value::revision);
        self.put(key, None);
        Ok(since)
    }
}
