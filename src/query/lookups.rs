//! Queries of the write path: the values that decisions depend on, and the posts that changes refer
//! to. They never decide anything themselves.

use std::sync::Arc;

use super::{Error, Query, Source, Unanswered, notifications};
use crate::model::{Change, Content, Post, PostId, PostRef, RequestId, Revision, UserId};
use crate::state::records::record::Value;
use crate::state::{Evidence, Lookup, MissingEvent, TimelineEvent};

/// The result of a [`Lookup`], for [`State::confirm`](crate::state::State::confirm).
#[derive(Clone, Debug)]
pub struct LookUp(pub Lookup);

/// The post that a change refers to, even if it was deleted.
///
/// Fails with [`Error::PostNotFound`] if no post ever had this id.
#[derive(Clone, Copy, Debug)]
pub struct FindPost(pub PostId);

/// The post that was published at a revision, even if it was deleted; `None` if it is erased. Only
/// for its author.
#[derive(Clone, Copy, Debug)]
pub struct PublishedPost(pub Revision);

/// The post that was published at a revision; `None` if it was deleted.
#[derive(Clone, Copy, Debug)]
pub struct ExistingPost(pub Revision);

/// The use of a request id by an author; `None` if it is not remembered.
#[derive(Clone, Debug)]
pub struct FindRequest {
    /// The author of the request.
    pub author: UserId,
    /// The id, which is unique per author only.
    pub request_id: RequestId,
}

/// The revision of the newest notification that is shown to a user.
#[derive(Clone, Debug)]
pub struct NewestNotification(pub UserId);

/// The result of [`FindPost`].
#[derive(Clone, Debug)]
pub struct FoundPost {
    /// The id and the author.
    pub post: PostRef,
    /// The content; of an erased post only the references.
    pub content: Content,
}

/// The event for which a request id was used.
#[derive(Clone, Debug)]
pub struct UsedRequest {
    /// The position of the event.
    pub revision: Revision,
    /// The kind of the event.
    pub used_for: RequestUse,
}

/// The use of a request id.
#[derive(Clone, Debug)]
pub enum RequestUse {
    /// A post with this content.
    Post(Box<Content>),
    /// A post that was deleted and is erased.
    Erased,
    /// Another request with the same hash.
    Other,
}

impl Query for LookUp {
    type Answer = Evidence;

    fn answer(&self, source: &Source<'_>) -> Result<Evidence, Unanswered> {
        // Read before the record, which may include later changes.
        let as_of = source.state.applied();
        let found = match source.state.key_of(&self.0) {
            None => None,
            Some(key) => match source.record(key) {
                Err(Unanswered::NotInMemory) if source.state.is_absent(key) => None,
                found => found?.map(Value::revision),
            },
        };
        Ok(Evidence { found, as_of })
    }
}

impl Query for FindPost {
    type Answer = FoundPost;

    fn answer(&self, source: &Source<'_>) -> Result<FoundPost, Unanswered> {
        let Self(id) = *self;
        if !source.state.has_applied(id.revision()) {
            return Err(Error::PostNotFound { post: id }.into());
        }
        // This read caches the post, which the applier and readers of the change need next.
        match source.events(&[id.revision()])?.pop() {
            Some(TimelineEvent::Post(post)) => {
                Ok(FoundPost { post: post.reference(), content: post.content.clone() })
            }
            Some(TimelineEvent::Erased(post)) => {
                // The cache keeps only the references of a deleted post, also before the erasure.
                if let Some(found) = as_published(source, id)? {
                    return Ok(found);
                }
                let content = Content::erased(post.reply_to.clone(), post.quote.clone());
                Ok(FoundPost { post: PostRef { id, author: post.author.clone() }, content })
            }
            _ => Err(Error::PostNotFound { post: id }.into()),
        }
    }
}

/// The post in the log; `None` if it is erased there.
fn as_published(source: &Source<'_>, id: PostId) -> Result<Option<FoundPost>, Unanswered> {
    Ok(match source.log_event(id.revision())?.change {
        Change::Publish { author, content, .. } => {
            Some(FoundPost { post: PostRef { id, author }, content })
        }
        _ => None,
    })
}

impl Query for PublishedPost {
    type Answer = Option<Arc<Post>>;

    fn answer(&self, source: &Source<'_>) -> Result<Option<Arc<Post>>, Unanswered> {
        Ok(match source.events(&[self.0])?.pop() {
            Some(TimelineEvent::Post(post)) => Some(post),
            _ => None,
        })
    }
}

impl Query for ExistingPost {
    type Answer = Option<Arc<Post>>;

    fn answer(&self, source: &Source<'_>) -> Result<Option<Arc<Post>>, Unanswered> {
        match source.existing_events(&[self.0])?.pop().flatten() {
            Some(TimelineEvent::Post(post)) => Ok(Some(post)),
            Some(_) => Err(MissingEvent { revision: self.0 }.into()),
            None => Ok(None),
        }
    }
}

impl Query for FindRequest {
    type Answer = Option<UsedRequest>;

    fn answer(&self, source: &Source<'_>) -> Result<Option<UsedRequest>, Unanswered> {
        let Some(revision) = source.state.requested(&self.author, &self.request_id) else {
            return Ok(None);
        };
        let event = source.log_event(revision)?;
        let is_it = |author: &UserId, found: Option<&RequestId>| {
            *author == self.author && found.is_some_and(|found| *found == self.request_id)
        };
        let used_for = match event.change {
            Change::Publish { author, content, request_id }
                if is_it(&author, request_id.as_ref()) =>
            {
                RequestUse::Post(Box::new(content))
            }
            Change::Erased { author, request_id, .. } if is_it(&author, request_id.as_ref()) => {
                RequestUse::Erased
            }
            // Another author or request id with the same hash.
            Change::Publish { .. } | Change::Erased { .. } => RequestUse::Other,
            // Not treated as unused, because the post could then be published twice.
            _ => return Err(MissingEvent { revision }.into()),
        };
        Ok(Some(UsedRequest { revision, used_for }))
    }
}

impl Query for NewestNotification {
    type Answer = Option<Revision>;

    fn answer(&self, source: &Source<'_>) -> Result<Option<Revision>, Unanswered> {
        let Some(user) = source.state.users.get(&self.0) else { return Ok(None) };
        let newest = notifications::shown(source, user, Revision::MAX, 1).next().transpose()?;
        Ok(newest.map(|(revision, _)| revision))
    }
}
