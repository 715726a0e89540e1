//! What the rules of feeds need of a post or a repost, with users by number: it is small, copied, and
//! compared without a lookup of a name. Never has content, and never decides anything.

use super::posts::{ErasedPost, Repost, TimelineEvent};
use crate::model::{Mark, MarkKind, Post, PostRef, ReplyTo, Revision, UserId};
use crate::state::users::{UserIx, Users};

/// What the rules of feeds need of a post or a repost, besides who published it and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PostFacts {
    /// The post; of a repost, the reposted post.
    pub(crate) post: Revision,
    /// The author of that post.
    pub(crate) author: UserIx,
    /// The author of the parent, if that post is a reply.
    pub(crate) parent_author: Option<UserIx>,
    /// The author of the quoted post, if that post is a quote.
    pub(crate) quoted_author: Option<UserIx>,
}

impl PostFacts {
    /// The facts of `event`, which is at `revision`; `None` if it is no post or repost, or not
    /// applied yet.
    pub(super) fn of_event(
        users: &Users,
        revision: Revision,
        event: &TimelineEvent,
    ) -> Option<Self> {
        match event {
            TimelineEvent::Post(post) => Self::of_post(users, post),
            TimelineEvent::Repost(repost) => Self::of_repost(users, repost),
            TimelineEvent::Erased(post) => {
                let ErasedPost { author, reply_to, quote } = &**post;
                Self::of(users, revision, author, reply_to.as_deref(), quote.as_ref())
            }
            TimelineEvent::Other(_) => None,
        }
    }

    /// The facts of `event`, which has `mark`; `None` if it is of another kind than the mark.
    pub(crate) fn of_marked(users: &Users, mark: Mark, event: &TimelineEvent) -> Option<Self> {
        let is_repost = matches!(event, TimelineEvent::Repost(_));
        let facts = Self::of_event(users, mark.revision(), event);
        facts.filter(|_| is_repost == (mark.kind() == MarkKind::Repost))
    }

    /// The facts of `post`, and of each repost of it; `None` if it is not applied yet.
    pub(crate) fn of_post(users: &Users, post: &Post) -> Option<Self> {
        let (reply_to, quote) = (post.content.reply_to.as_deref(), post.content.quote.as_ref());
        Self::of(users, post.revision, &post.author, reply_to, quote)
    }

    fn of_repost(users: &Users, repost: &Repost) -> Option<Self> {
        let Repost { post, parent_author, quoted_author, .. } = repost;
        Some(Self {
            post: post.id.revision(),
            author: users.get(&post.author)?,
            parent_author: number_of(users, parent_author.as_ref())?,
            quoted_author: number_of(users, quoted_author.as_ref())?,
        })
    }

    fn of(
        users: &Users,
        post: Revision,
        author: &UserId,
        reply_to: Option<&ReplyTo>,
        quote: Option<&PostRef>,
    ) -> Option<Self> {
        Some(Self {
            post,
            author: users.get(author)?,
            parent_author: number_of(users, reply_to.map(|reply_to| &reply_to.parent.author))?,
            quoted_author: number_of(users, quote.map(|quote| &quote.author))?,
        })
    }
}

/// The number of `user`, if there is a user; the outer `None` if they have no number.
fn number_of(users: &Users, user: Option<&UserId>) -> Option<Option<UserIx>> {
    match user {
        Some(user) => users.get(user).map(Some),
        None => Some(None),
    }
}
