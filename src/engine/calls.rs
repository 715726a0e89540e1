//! The calls that the committer answers. They never decide: the committer does, in the order of the queue.
//!
//! A call looks up the posts that its change refers to before the change joins the queue, because a
//! read may take long. The same holds for a value that the decision depends on and that may be in
//! the index only; the committer confirms it from memory.

use super::command::{ChangeRequest, Command, PostTarget, PublishedAt, Rejection, RequestCheck};
use super::{Changed, Draft, Engine, Error, Published};
use crate::model::{
    Content, Cursor, Facets, PostId, Relation, RelationKind, ReplyTo, RequestId, Revision, UserId,
};
use crate::query::{
    FindPost, FindRequest, FoundPost, LookUp, NewestNotification, PublishedPost, QueryCaller,
};
use crate::state::{Evidence, Lookup};

/// The maximum number of lookups of one call. A lookup is repeated only if the value was changed
/// and left memory in the milliseconds between lookup and decision. Memory keeps it until the index
/// is written, which takes longer, so repetitions are very unlikely.
const LOOKUPS_MAX: usize = 8;

impl Engine {
    /// Sets or ends `relation`. Changes nothing if it is set or ended already.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set(&self, relation: Relation, on: bool) -> Result<Changed, Error> {
        if relation.other() == Some(relation.user()) {
            let user = relation.user().clone();
            return Err(match relation.kind() {
                RelationKind::Follow => Error::SelfFollow { user },
                _ => Error::SelfTarget { user },
            });
        }
        if on {
            let users = std::iter::once(relation.user()).chain(relation.other());
            self.check_room(users)?;
        }
        let (Some(post), Some(lookup)) = (relation.post(), Lookup::of(&relation)) else {
            return self.change(ChangeRequest::Relation { relation, on, post: None }).await;
        };
        let author = self.find(post).await?.post.author;
        let request = |evidence| {
            let post = Some(PostTarget { author: author.clone(), evidence });
            ChangeRequest::Relation { relation: relation.clone(), on, post }
        };
        self.change_by(lookup, request).await
    }

    /// Publishes a post. With a `request_id` that was used before, returns the earlier post.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn publish(
        &self,
        author: UserId,
        draft: impl Into<Draft>,
        request_id: Option<RequestId>,
    ) -> Result<Published, Error> {
        self.check_room(std::iter::once(&author))?;
        let Draft { text, reply_to, quote, attachments, langs, facets } = draft.into();
        let is_user = |name: &UserId| *name == author || self.state().is_user(name);
        let facets = facets.unwrap_or_else(|| Facets::scan(&text, is_user));
        let mentioned = facets.mentioned(is_user);
        let of_text = Content::from_text(text);
        let mut content = Content { attachments, langs, facets, mentioned, ..of_text };
        if let Some(parent) = reply_to {
            let parent = self.find(parent).await?;
            let above = parent.content.reply_to;
            let root = above.map_or_else(|| parent.post.clone(), |above| above.root);
            content.reply_to = Some(Box::new(ReplyTo { parent: parent.post, root }));
        }
        if let Some(quote) = quote {
            content.quote = Some(self.find(quote).await?.post);
        }
        let published = match request_id {
            None => {
                let command = |responder| Command::Publish {
                    author: author.clone(),
                    content: content.clone(),
                    request: None,
                    responder,
                };
                self.call(command).await.map_err(Rejection::into_error)?
            }
            Some(id) => self.publish_once(author, content, id).await?,
        };
        let PublishedAt { revision, deduplicated, cursor } = published;
        // Not refused because others wait: the post is there.
        let read = QueryCaller::current().patient().scope(self.ask(PublishedPost(revision)));
        let read = read.await.inspect_err(
            |error| tracing::error!(%error, %revision, "a published post cannot be read back"),
        );
        // The post is durable, so an error of the read must not say that nothing was changed.
        let post = read.ok().flatten().ok_or(Error::OutcomeUnknown)?;
        Ok(Published { post, deduplicated, cursor })
    }

    async fn publish_once(
        &self,
        author: UserId,
        content: Content,
        id: RequestId,
    ) -> Result<PublishedAt, Error> {
        for _ in 0..LOOKUPS_MAX {
            let found = FindRequest { author: author.clone(), request_id: id.clone() };
            let found = self.ask(found).await?;
            let request = Some(RequestCheck { id: id.clone(), found });
            let command = |responder| Command::Publish {
                author: author.clone(),
                content: content.clone(),
                request: request.clone(),
                responder,
            };
            match self.call(command).await {
                Err(Rejection::LookUpAgain) => {}
                done => return done.map_err(Rejection::into_error),
            }
        }
        Err(Error::Overloaded)
    }

    /// Deletes a post of `author`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, author: UserId, post: PostId) -> Result<Changed, Error> {
        let FoundPost { post, content } = self.find(post).await?;
        if post.author != author {
            return Err(Error::NotTheAuthor { user: author, post: post.id });
        }
        let notified = content.notified(&author);
        let reply_to = content.reply_to.map(|to| to.parent.id);
        let quote = content.quote.map(|quote| quote.id);
        self.change(ChangeRequest::Delete { post, reply_to, quote, notified }).await
    }

    /// Marks the notifications of `user` as seen up to a position, or all of them. The seen
    /// position never goes back.
    ///
    /// # Errors
    /// `until` is not a cursor of this log; and see [`Error`].
    pub async fn mark_seen(&self, user: UserId, until: Option<Cursor>) -> Result<Changed, Error> {
        let until = match until {
            Some(until) => {
                until.check(&self.state().log_extent())?;
                until.after
            }
            None => {
                let newest = self.ask(NewestNotification(user.clone())).await?;
                newest.unwrap_or(Revision::ZERO)
            }
        };
        self.check_room(std::iter::once(&user))?;
        let request = |evidence| ChangeRequest::See { user: user.clone(), until, evidence };
        self.change_by(Lookup::Seen(user.clone()), request).await
    }

    /// A cursor at which reads show every change that was acknowledged before this call, by whichever node. One write to a
    /// shared log answers all who ask meanwhile.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn latest(&self) -> Result<Cursor, Error> {
        let done = self.call(|responder| Command::Confirm { responder }).await;
        done.map_err(Rejection::into_error)
    }

    /// Checks that a change may name `users`: all exist already, or the number of users is below
    /// the limit.
    fn check_room<'a>(&self, mut users: impl Iterator<Item = &'a UserId>) -> Result<(), Error> {
        let (state, max) = (self.state(), self.0.limits.now().users_max);
        if state.user_count() >= max && !users.all(|user| state.is_user(user)) {
            return Err(Error::TooManyUsers { max });
        }
        Ok(())
    }

    async fn change(&self, request: ChangeRequest) -> Result<Changed, Error> {
        let command = |responder| Command::Change { request: request.clone(), responder };
        let done = self.call(command).await;
        done.map_err(Rejection::into_error)
    }

    /// Makes a change whose decision depends on the result of `lookup`.
    async fn change_by(
        &self,
        lookup: Lookup,
        request: impl Fn(Evidence) -> ChangeRequest,
    ) -> Result<Changed, Error> {
        for _ in 0..LOOKUPS_MAX {
            let evidence = self.ask(LookUp(lookup.clone())).await?;
            let request = request(evidence);
            let command = |responder| Command::Change { request: request.clone(), responder };
            match self.call(command).await {
                Err(Rejection::LookUpAgain) => {}
                done => return done.map_err(Rejection::into_error),
            }
        }
        Err(Error::Overloaded)
    }

    /// The post with this id, even if it was deleted.
    async fn find(&self, id: PostId) -> Result<FoundPost, Error> {
        Ok(self.ask(FindPost(id)).await?)
    }
}
