//! Threads: the ancestors of a post, and the replies below it.
//!
//! The replies are walked level by level, by [`replies`]. A deleted or hidden post is walked
//! through, too: it is a gap if a shown reply is below it, and otherwise left out. A gap never has
//! content.

mod replies;

use std::collections::HashMap;
use std::sync::Arc;

use replies::{RepliesBelow, ReplyWalk};

use super::hydrate::{self, Viewer};
use super::results::{Gap, PagePosition, PostView, Thread, ThreadPost};
use super::{Error, Query, Source, Unanswered};
use crate::model::{Post, PostId, Revision, UserId};
use crate::state::{MissingEvent, TimelineEvent};

/// A post, its ancestors, and the replies below it. The post itself may be a gap.
///
/// Fails with [`Error::PostNotFound`] if no post ever had this id; and if the position is not of this
/// log.
#[derive(Clone, Debug)]
pub struct GetThread {
    /// The user who reads.
    pub viewer: UserId,
    /// The post.
    pub post: PostId,
    /// Where the page begins; `None` for the oldest replies. As they are listed oldest first, `before`
    /// is the last reply to the post itself before the page.
    pub position: Option<PagePosition>,
    /// The maximum depth of replies, 1 for replies to the post itself; at most the limit counts.
    pub depth_max: usize,
    /// The maximum number of replies, gaps included; at most the limit counts.
    pub replies_max: usize,
}

/// A post that was published, even if it was deleted.
struct ThreadOrigin {
    id: PostId,
    parent: Option<PostId>,
    shown: Result<Arc<Post>, Gap>,
}

impl Query for GetThread {
    type Answer = Thread;

    fn answer(&self, source: &Source<'_>) -> Result<Thread, Unanswered> {
        source.check_position(self.position)?;
        loop {
            let viewer = hydrate::viewer(source.state, &self.viewer);
            let Some(requested) = origin(source, viewer, self.post)? else {
                return Err(Error::PostNotFound { post: self.post }.into());
            };
            let (above, mut bytes) = self.above(source, viewer, &requested)?;
            let mut below = self.below(source, viewer)?;
            let shown = below.replies.iter().filter(|reply| reply.gap.is_none());
            let shown: Vec<_> = shown.map(|reply| reply.id).collect();
            // Read again if a reply was deleted meanwhile: it would be neither shown nor a gap.
            let Some(mut shown) = source.all_posts(&shown)? else { continue };
            // Parents come before their replies, so the remaining posts are a tree.
            let fits = |post: &&Arc<Post>| {
                bytes += post.content.bytes();
                bytes <= source.limits.thread_bytes_max
            };
            // At least one, so that the next page makes progress.
            let fitting = shown.iter().take_while(fits).count().max(1);
            if let Some(first_left_out) = shown.get(fitting).map(|post| post.id()) {
                below.leave_out_from(first_left_out, self.post, self.after());
                shown.truncate(fitting);
            }
            let of_origins =
                above.iter().chain([&requested]).filter_map(|post| post.shown.clone().ok());
            let views = hydrate::views(source, viewer, of_origins.chain(shown).collect())?;
            return Ok(assemble(above, &requested, below, views));
        }
    }
}

impl GetThread {
    fn after(&self) -> Revision {
        self.position.map_or(Revision::ZERO, |position| position.before)
    }

    /// The ancestors of `requested`, from the root down, and the number of bytes of them and of
    /// `requested`. The ancestors end where this number would exceed half of the thread's limit.
    fn above(
        &self,
        source: &Source<'_>,
        viewer: Viewer<'_>,
        requested: &ThreadOrigin,
    ) -> Result<(Vec<ThreadOrigin>, usize), Unanswered> {
        let (mut above, mut parent, mut bytes) = (Vec::new(), requested.parent, requested.bytes());
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
            scans_left: source.limits.thread_scan_replies_max.max(1),
            searched: HashMap::new(),
        };
        walk.run(self.post, self.after())
    }
}

/// The post with this id, even if it was deleted; `None` if no post ever had it.
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
        Some(TimelineEvent::Erased(post)) => (post.author.clone(), post.reply_to.clone(), None),
        _ => return Ok(None),
    };
    let is_seen = state.users.get(&author).is_none_or(|author| viewer.sees(author));
    let shown = match post {
        // Checked after the read: a post is deleted before it is erased.
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

/// Assembles the thread. `views` has the shown posts in this order: ancestors, post, replies.
fn assemble(
    above: Vec<ThreadOrigin>,
    requested: &ThreadOrigin,
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
        id: requested.id,
        parent: requested.parent,
        depth: 0,
        shown: shown(requested.shown.as_ref().err().copied()),
        has_more_replies: below.cut.contains(&requested.id),
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
