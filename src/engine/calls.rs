//! The calls that change something.
//!
//! What a change refers to is looked up before it joins the queue, where reading may take its time;
//! what may change meanwhile is decided in the queue's order, by the committer. What decides it and may
//! be in the index alone is looked up here too, and confirmed there by memory.

use super::command::{ChangeRequest, Command, PublishedAt, Rejection, RequestCheck, RequestUse};
use super::{Changed, Draft, EdgeKind, Engine, Error, Published, ReactionKind};
use crate::model::{
    Change, Content, Cursor, Facets, PostId, PostRef, ReplyTo, RequestId, Revision, UserId,
};
use crate::query::{Evidence, Question};
use crate::state::MissingEvent;
use crate::state::State;

/// How often a call looks up what it is decided by: again only if that was changed, and had left
/// memory, between the lookup and the decision, which is some milliseconds. Then the index is written
/// much faster than it can be.
const LOOKUPS_MAX: usize = 8;

/// A post that is referred to, as it was published. It may be deleted by now.
#[derive(Debug)]
struct ReferencedPost {
    post: PostRef,
    content: Content,
}

impl Engine {
    /// Makes `follower` follow `followee`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn follow(&self, follower: UserId, followee: UserId) -> Result<Changed, Error> {
        self.change_edge(EdgeKind::Follow, follower, followee).await
    }

    /// Makes `follower` not follow `followee`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unfollow(&self, follower: UserId, followee: UserId) -> Result<Changed, Error> {
        self.change_edge(EdgeKind::Unfollow, follower, followee).await
    }

    /// Changes what is between two users.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn change_edge(
        &self,
        kind: EdgeKind,
        user: UserId,
        other: UserId,
    ) -> Result<Changed, Error> {
        if user == other {
            return Err(match kind {
                EdgeKind::Follow | EdgeKind::Unfollow => Error::SelfFollow { user },
                _ => Error::SelfTarget { user },
            });
        }
        if matches!(kind, EdgeKind::Follow | EdgeKind::Block | EdgeKind::Mute) {
            self.check_room([&user, &other])?;
        }
        self.change(ChangeRequest::Edge { kind, user, other }).await
    }

    /// Changes what is between a user and a post.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn react(
        &self,
        kind: ReactionKind,
        user: UserId,
        post: PostId,
    ) -> Result<Changed, Error> {
        if matches!(kind, ReactionKind::Like | ReactionKind::Repost) {
            self.check_room([&user])?;
        }
        let post = self.referred(post).await?.post;
        let question = kind.question(&user, post.id);
        let ask = |evidence| {
            let (user, post) = (user.clone(), post.clone());
            ChangeRequest::React { kind, user, post, evidence }
        };
        self.change_by(question, ask).await
    }

    /// Publishes a post; with a `request_id` that was used before, gives the post made then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn publish(
        &self,
        author: UserId,
        draft: impl Into<Draft>,
        request_id: Option<RequestId>,
    ) -> Result<Published, Error> {
        self.check_room([&author])?;
        let Draft { text, reply_to, quote, attachments, langs, facets } = draft.into();
        let is_user = |name: &UserId| *name == author || self.0.view.is_user(name);
        let facets = facets.unwrap_or_else(|| Facets::scan(&text, is_user));
        let mentioned = facets.mentioned(is_user);
        let of_text = Content::from_text(text);
        let mut content = Content { attachments, langs, facets, mentioned, ..of_text };
        if let Some(parent) = reply_to {
            let parent = self.referred(parent).await?;
            let above = parent.content.reply_to;
            let root = above.map_or_else(|| parent.post.clone(), |above| above.root);
            content.reply_to = Some(Box::new(ReplyTo { parent: parent.post, root }));
        }
        if let Some(quote) = quote {
            content.quote = Some(self.referred(quote).await?.post);
        }
        let published = match request_id {
            None => {
                let command = |caller| Command::Publish { author, content, request: None, caller };
                self.call(command).await.map_err(Rejection::into_error)?
            }
            Some(id) => self.publish_once(author, content, id).await?,
        };
        let PublishedAt { revision, deduplicated, cursor } = published;
        let post = match self.0.view.published_at_hand(revision) {
            Some(post) => post,
            None => {
                let post = self.0.view.read(move |view| view.published(revision)).await?;
                post.ok_or(Error::OutcomeUnknown)?
            }
        };
        Ok(Published { post, deduplicated, cursor })
    }

    async fn publish_once(
        &self,
        author: UserId,
        content: Content,
        id: RequestId,
    ) -> Result<PublishedAt, Error> {
        for _ in 0..LOOKUPS_MAX {
            let request = Some(self.request(&author, id.clone()).await?);
            let (author, content) = (author.clone(), content.clone());
            let command = |caller| Command::Publish { author, content, request, caller };
            match self.call(command).await {
                Err(Rejection::LookAgain) => {}
                done => return done.map_err(Rejection::into_error),
            }
        }
        Err(Error::Overloaded)
    }

    /// What there is to be known of a request id, whatever stands where it was used.
    async fn request(&self, author: &UserId, id: RequestId) -> Result<RequestCheck, Error> {
        let view = &self.0.view;
        let Some(revision) = view.requested(author, &id) else {
            return Ok(RequestCheck { id, found: None });
        };
        let by = author.clone();
        view.read(move |view| {
            let event = view.event(revision)?.ok_or(MissingEvent { revision })?;
            let is_it = |author: &UserId, found: Option<&RequestId>| {
                *author == by && found.is_some_and(|found| *found == id)
            };
            let made = match event.change {
                Change::Publish { author, content, request_id }
                    if is_it(&author, request_id.as_ref()) =>
                {
                    RequestUse::Post(Box::new(content))
                }
                Change::Erased { author, request_id, .. }
                    if is_it(&author, request_id.as_ref()) =>
                {
                    RequestUse::Erased
                }
                // Somebody else's, whose request id has the same hash.
                Change::Publish { .. } | Change::Erased { .. } => RequestUse::Other,
                // Published once more, the post would be there twice.
                _ => return Err(MissingEvent { revision }.into()),
            };
            Ok(RequestCheck { id, found: Some((revision, made)) })
        })
        .await
    }

    /// Deletes a post of `author`'s.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, author: UserId, post: PostId) -> Result<Changed, Error> {
        let ReferencedPost { post, content } = self.referred(post).await?;
        if post.author != author {
            return Err(Error::NotTheAuthor { user: author, post: post.id });
        }
        let notified = content.notified(&author);
        let reply_to = content.reply_to.map(|to| to.parent.id);
        let quote = content.quote.map(|quote| quote.id);
        self.change(ChangeRequest::Delete { post, reply_to, quote, notified }).await
    }

    /// Notes that `user` has seen what they were notified of up to a position, or all of it. Never
    /// goes back.
    ///
    /// # Errors
    /// `until` is not a position of this log; and see [`Error`].
    pub async fn mark_seen(&self, user: UserId, until: Option<Cursor>) -> Result<Changed, Error> {
        let until = match until {
            Some(until) => {
                self.0.hub.check_cursor(&until)?;
                until.after
            }
            None => {
                let of = user.clone();
                let newest = self.0.view.read(move |view| view.oldest_told(&of, 1)).await?;
                newest.unwrap_or(Revision::ZERO)
            }
        };
        self.check_room([&user])?;
        let question = Question::Seen(user.clone());
        let ask = |evidence| ChangeRequest::See { user: user.clone(), until, evidence };
        self.change_by(question, ask).await
    }

    /// Checks that a change may name `users`: all exist already, or there is room for more.
    fn check_room<const N: usize>(&self, users: [&UserId; N]) -> Result<(), Error> {
        let (view, max) = (&self.0.view, self.0.hub.limits().users_max);
        if view.user_count() >= max && !users.iter().all(|user| view.is_user(user)) {
            return Err(Error::TooManyUsers { max });
        }
        Ok(())
    }

    async fn change(&self, ask: ChangeRequest) -> Result<Changed, Error> {
        let done = self.call(|caller| Command::Change { ask, caller }).await;
        done.map_err(Rejection::into_error)
    }

    /// A change that is decided by the answer to `question`, which memory may not know.
    async fn change_by(
        &self,
        question: Question,
        ask: impl Fn(Evidence) -> ChangeRequest,
    ) -> Result<Changed, Error> {
        let view = &self.0.view;
        for _ in 0..LOOKUPS_MAX {
            let evidence = match view.look_up_at_hand(&question) {
                Some(evidence) => evidence,
                None => {
                    let question = question.clone();
                    view.read(move |view| view.look_up(&question)).await?
                }
            };
            let ask = ask(evidence);
            match self.call(|caller| Command::Change { ask, caller }).await {
                Err(Rejection::LookAgain) => {}
                done => return done.map_err(Rejection::into_error),
            }
        }
        Err(Error::Overloaded)
    }

    /// The post with this name, whether or not it was deleted since.
    async fn referred(&self, id: PostId) -> Result<ReferencedPost, Error> {
        if let Some(post) = self.0.view.cached_post(id.revision()) {
            return Ok(ReferencedPost { post: post.reference(), content: post.content.clone() });
        }
        self.0.view.read(move |view| read(view, id)).await
    }
}

fn read(view: &State, id: PostId) -> Result<ReferencedPost, Error> {
    if id.revision() > view.applied() {
        return Err(Error::PostNotFound { post: id });
    }
    // Cached then: whoever applies the change, or reads it, asks for it next.
    if let Some(post) = view.published(id.revision())? {
        return Ok(ReferencedPost { post: post.reference(), content: post.content.clone() });
    }
    // Deleted since, and perhaps erased.
    match view.event(id.revision())?.map(|event| event.change) {
        Some(Change::Publish { author, content, .. }) => {
            Ok(ReferencedPost { post: PostRef { id, author }, content })
        }
        Some(Change::Erased { author, reply_to, quote, .. }) => {
            let content = Content::erased(reply_to, quote);
            Ok(ReferencedPost { post: PostRef { id, author }, content })
        }
        _ => Err(Error::PostNotFound { post: id }),
    }
}
