//! The calls that change something.
//!
//! What a change refers to is looked up before it joins the queue, where reading may take its time;
//! what may change meanwhile is decided in the queue's order, by the committer.

use super::command::{Ask, Command};
use super::{Changed, Draft, EdgeKind, Engine, Error, Published, ReactionKind};
use crate::model::{
    Change, Content, Cursor, PostId, PostRef, ReplyTo, RequestId, Revision, UserId,
};
use crate::view::View;

/// A post that is referred to, as it was published. It may be deleted by now.
#[derive(Debug)]
struct Referred {
    post: PostRef,
    reply_to: Option<Box<ReplyTo>>,
    quote: Option<PostRef>,
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
        self.change(Ask::Edge { kind, user, other }).await
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
        let post = self.referred(post).await?.post;
        self.change(Ask::React { kind, user, post }).await
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
        let Draft { text, reply_to, quote, attachments, langs } = draft.into();
        let mut content = Content { attachments, langs, ..Content::of_text(text) };
        if let Some(parent) = reply_to {
            let parent = self.referred(parent).await?;
            let root = parent.reply_to.map_or_else(|| parent.post.clone(), |above| above.root);
            content.reply_to = Some(Box::new(ReplyTo { parent: parent.post, root }));
        }
        if let Some(quote) = quote {
            content.quote = Some(self.referred(quote).await?.post);
        }
        self.call(|caller| Command::Publish { author, content, request_id, caller }).await
    }

    /// Deletes a post of `author`'s.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, author: UserId, post: PostId) -> Result<Changed, Error> {
        let Referred { post, reply_to, quote } = self.referred(post).await?;
        if post.author != author {
            return Err(Error::NotTheAuthor { user: author, post: post.id });
        }
        let (reply_to, quote) = (reply_to.map(|to| to.parent.id), quote.map(|quote| quote.id));
        self.change(Ask::Delete { post, reply_to, quote }).await
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
        self.change(Ask::See { user, until }).await
    }

    async fn change(&self, ask: Ask) -> Result<Changed, Error> {
        self.call(|caller| Command::Change { ask, caller }).await
    }

    /// The post with this name, whether or not it was deleted since.
    async fn referred(&self, id: PostId) -> Result<Referred, Error> {
        if let Some(post) = self.0.view.cached_post(id.revision()) {
            let content = &post.content;
            return Ok(Referred {
                post: post.reference(),
                reply_to: content.reply_to.clone(),
                quote: content.quote.clone(),
            });
        }
        self.0.view.read(move |view| read(view, id)).await
    }
}

fn read(view: &View, id: PostId) -> Result<Referred, Error> {
    let event = view.event(id.revision())?;
    let (author, reply_to, quote) = match event.map(|event| event.change) {
        Some(Change::Publish { author, content, .. }) => (author, content.reply_to, content.quote),
        Some(Change::Erased { author, reply_to, quote, .. }) => (author, reply_to, quote),
        _ => return Err(Error::PostNotFound { post: id }),
    };
    Ok(Referred { post: PostRef { id, author }, reply_to, quote })
}
