//! Threads: the posts that a post replies to, and the replies below it.
//!
//! The replies are gone through level by level, by [`replies`]. A deleted or hidden post is gone
//! through, too: it is a gap if something that is shown hangs on it, and else left out.

mod replies;

use std::collections::HashMap;
use std::sync::Arc;

use replies::{RepliesBelow, ReplyWalk};

use super::hydrate::{self, Viewer};
use super::results::{Gap, PostView, Thread, ThreadPost};
use super::{Error, Query, Source, Unanswered};
use crate::model::{Change, Post, PostId, Revision, UserId};
use crate::state::{MissingEvent, TimelineEvent};

/// A post, what it replies to, and the replies to it. The post itself may be a gap.
///
/// Fails with [`Error::PostNotFound`] if there never was such a post.
#[derive(Clone, Debug)]
pub struct GetThread {
    /// Who reads.
    pub viewer: UserId,
    /// The post.
    pub post: PostId,
    /// If given, only the replies to the post itself after this one are listed.
    pub after: Option<PostId>,
    /// How deep replies are followed, in replies; no deeper than the limit.
    pub depth_max: usize,
    /// How many replies at most, gaps included; no more than the limit.
    pub replies_max: usize,
}

/// A post that was published, also if it was deleted since.
struct ThreadOrigin {
    id: PostId,
    parent: Option<PostId>,
    shown: Result<Arc<Post>, Gap>,
}

impl Query for GetThread {
    type Answer = Thread;

    fn answer(&self, source: &Source<'_>) -> Result<Thread, Unanswered> {
        loop {
            let viewer = hydrate::viewer(source.state, &self.viewer);
            let Some(asked) = origin(source, viewer, self.post)? else {
                return Err(Error::PostNotFound { post: self.post }.into());
            };
            let (above, mut bytes) = self.above(source, viewer, &asked)?;
            let mut below = self.below(source, viewer)?;
            let shown = below.replies.iter().filter(|reply| reply.gap.is_none());
            let shown: Vec<_> = shown.map(|reply| reply.id).collect();
            // One that was deleted in this moment would be neither shown nor a gap.
            let Some(mut shown) = source.all_posts(&shown)? else { continue };
            // Parents come before their replies, so what is left is a tree.
            let fits = |post: &&Arc<Post>| {
                bytes += post.content.bytes();
                bytes <= source.limits.thread_bytes_max
            };
            // At least one, so that the next page comes further.
            let fitting = shown.iter().take_while(fits).count().max(1);
            if let Some(first_left_out) = shown.get(fitting).map(|post| post.id()) {
                below.leave_out_from(first_left_out, self.post, self.after());
                shown.truncate(fitting);
            }
            let of_origins = above.iter().chain([&asked]).filter_map(|it| it.shown.clone().ok());
            let views = hydrate::views(source, viewer, of_origins.chain(shown).collect())?;
            return Ok(assemble(above, &asked, below, views));
        }
    }
}

impl GetThread {
    fn after(&self) -> Revision {
        self.after.map_or(Revision::ZERO, PostId::revision)
    }

    /// The posts that `asked` replies to, from the root on, and how many bytes they and `asked` have:
    /// no more than half of what the thread may have.
    fn above(
        &self,
        source: &Source<'_>,
        viewer: Viewer<'_>,
        asked: &ThreadOrigin,
    ) -> Result<(Vec<ThreadOrigin>, usize), Unanswered> {
        let (mut above, mut parent, mut bytes) = (Vec::new(), asked.parent, asked.bytes());
        while let Some(id) = parent.filter(|_| above.len() < source.limits.thread_ancestors_max) {
            let revision = id.revision();
            let origin = origin(source, viewer, id)?.ok_or(MissingEvent { revision })?;
            bytes += origin.bytes();
            if bytes > source.limits.thread_bytes_max / 2 {
                break;
            }
            parent = origin.parent;
            above.push(origin);
        }
        above.reverse();
        Ok((above, bytes))
    }

    fn below(&self, source: &Source<'_>, viewer: Viewer<'_>) -> Result<RepliesBelow, Unanswered> {
        let walk = ReplyWalk {
            source,
            viewer,
            depth_max: self.depth_max.min(source.limits.thread_depth_max),
            replies_max: self.replies_max.min(source.limits.thread_replies_max),
            looks_left: source.limits.thread_scan_replies_max.max(1),
            known: HashMap::new(),
        };
        walk.run(self.post, self.after())
    }
}

/// The post named `id`; `None` if there never was one.
fn origin(
    source: &Source<'_>,
    viewer: Viewer<'_>,
    id: PostId,
) -> Result<Option<ThreadOrigin>, Unanswered> {
    let state = source.state;
    if !state.has_applied(id.revision()) {
        return Ok(None);
    }
    let (author, reply_to, post) = match source.events(&[id.revision()])?.pop() {
        Some(TimelineEvent::Post(post)) => {
            (post.author.clone(), post.content.reply_to.clone(), Some(post))
        }
        Some(TimelineEvent::Other(Change::Erased { author, reply_to, .. })) => {
            (author, reply_to, None)
        }
        _ => return Ok(None),
    };
    let is_seen = state.users.get(&author).is_none_or(|author| viewer.sees(author));
    let shown = match post {
        // Checked after the read: what is erased was deleted before.
        _ if state.is_retracted(id.revision()) => Err(Gap::Deleted),
        Some(post) if is_seen => Ok(post),
        _ => Err(Gap::Hidden),
    };
    Ok(Some(ThreadOrigin { id, parent: reply_to.map(|to| to.parent.id), shown }))
}

impl ThreadOrigin {
    fn bytes(&self) -> usize {
        self.shown.as_ref().map_or(0, |post| post.content.bytes())
    }
}

/// The thread. `views` has the posts that are shown, in the order in which they come here.
fn assemble(
    above: Vec<ThreadOrigin>,
    asked: &ThreadOrigin,
    below: RepliesBelow,
    views: Vec<PostView>,
) -> Thread {
    let mut views = views.into_iter();
    let mut shown = |gap: Option<Gap>| match gap {
        Some(gap) => Err(gap),
        None => views.next().ok_or(Gap::Deleted),
    };
    let ancestors = above.into_iter().map(|origin| {
        let ThreadOrigin { id, parent, shown: origin } = origin;
        let shown = shown(origin.err());
        ThreadPost { id, parent, depth: 0, shown, has_more_replies: false }
    });
    let ancestors = ancestors.collect();
    let post = ThreadPost {
        id: asked.id,
        parent: asked.parent,
        depth: 0,
        shown: shown(asked.shown.as_ref().err().copied()),
        has_more_replies: below.cut.contains(&asked.id),
    };
    let RepliesBelow { replies, cut, next_after } = below;
    let replies = replies.into_iter().map(|reply| ThreadPost {
        id: reply.id,
        parent: Some(reply.parent),
        depth: reply.depth,
        shown: shown(reply.gap),
        has_more_replies: cut.contains(&reply.id),
    });
    let (replies, next_after) = (replies.collect(), next_after.map(PostId::from_revision));
    Thread { ancestors, post, replies, next_after }
}
