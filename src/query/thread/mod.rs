//! Threads: what a post answers, and what answers it.
//!
//! Below the post the tree is gone through level by level, by [`self::replies`]. What was deleted or
//! is hidden is looked into, too: it is a gap where something that is shown hangs on it, and else
//! left out.

mod replies;

use std::collections::HashMap;
use std::sync::Arc;

use super::hydrate::Viewer;
use super::results::{Gap, PostView, Thread, ThreadPost};
use super::thread::replies::{Below, Descent};
use crate::model::{Change, Post, PostId, Revision, UserId};
use crate::state::TimelineEvent;
use crate::state::reads::{MissingEvent, ReadError, Reading};

/// Which thread, and how much of it.
#[derive(Clone, Debug)]
pub struct ThreadQuery {
    /// Who reads it.
    pub viewer: UserId,
    /// The post that is asked for.
    pub post: PostId,
    /// Of the answers to the post itself only those after this one are listed, if it is given.
    pub after: Option<PostId>,
    /// How deep answers are followed, in answers.
    pub depth_max: usize,
    /// How many answers at most, gaps included.
    pub replies_max: usize,
    /// How many of what it answers at most: the nearest.
    pub ancestors_max: usize,
    /// How many answers are looked at, at most.
    pub looks_max: usize,
    /// How many bytes all its posts may have. Half of them are for what it answers.
    pub bytes_max: usize,
}

/// A post that was published, whatever became of it.
struct Origin {
    id: PostId,
    parent: Option<PostId>,
    shown: Result<Arc<Post>, Gap>,
}

impl Reading<'_> {
    /// A thread; `None` if there never was such a post. May read the log and the index, which
    /// blocks for a moment.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn thread(&self, query: &ThreadQuery) -> Result<Option<Thread>, ReadError> {
        loop {
            let viewer = self.viewer(&query.viewer);
            let Some(asked) = self.origin(viewer, query.post)? else { return Ok(None) };
            let mut above = Vec::new();
            let mut parent = asked.parent;
            let mut bytes = bytes_of(&asked.shown);
            while let Some(id) = parent.filter(|_| above.len() < query.ancestors_max) {
                let revision = id.revision();
                let origin = self.origin(viewer, id)?.ok_or(MissingEvent { revision })?;
                bytes += bytes_of(&origin.shown);
                if bytes > query.bytes_max / 2 {
                    break;
                }
                parent = origin.parent;
                above.push(origin);
            }
            above.reverse();
            let after = query.after.map_or(Revision::ZERO, PostId::revision);
            let mut below = self.below(viewer, query, after)?;

            let shown = below.answers.iter().filter(|answer| answer.gap.is_none());
            let shown: Vec<_> = shown.map(|answer| answer.id).collect();
            // Else one that was deleted in this moment would be neither shown nor a gap.
            let Some(mut shown) = self.all_posts(&shown)? else { continue };
            // Parents come before what answers them, so what is left is a tree.
            let fits = |post: &&Arc<Post>| {
                bytes += post.content.bytes();
                bytes <= query.bytes_max
            };
            // At least one, so that whoever asks for the next comes further.
            let fitting = shown.iter().take_while(fits).count().max(1);
            if let Some(first_left_out) = shown.get(fitting).map(|post| post.id()) {
                below.leave_out_from(first_left_out, query.post, after);
                shown.truncate(fitting);
            }
            let of_origins = above.iter().chain([&asked]).filter_map(|it| it.shown.clone().ok());
            let posts = of_origins.chain(shown).collect();
            let mut views = self.views_for(viewer, posts)?.into_iter();

            // The views are in the order in which they are asked for here.
            let ancestors = above.into_iter().map(|origin| {
                let Origin { id, parent, shown } = origin;
                let shown = or_gap(shown.err(), &mut views);
                ThreadPost { id, parent, depth: 0, shown, has_more_replies: false }
            });
            let ancestors = ancestors.collect();
            let post = ThreadPost {
                id: asked.id,
                parent: asked.parent,
                depth: 0,
                shown: or_gap(asked.shown.err(), &mut views),
                has_more_replies: below.cut.contains(&asked.id),
            };
            let Below { answers, cut, next_after } = below;
            let replies = answers.into_iter().map(|answer| ThreadPost {
                id: answer.id,
                parent: Some(answer.parent),
                depth: answer.depth,
                shown: or_gap(answer.gap, &mut views),
                has_more_replies: cut.contains(&answer.id),
            });
            let (replies, next_after) = (replies.collect(), next_after.map(PostId::from_revision));
            return Ok(Some(Thread { ancestors, post, replies, next_after }));
        }
    }

    fn below(
        &self,
        viewer: Viewer<'_>,
        query: &ThreadQuery,
        after: Revision,
    ) -> Result<Below, ReadError> {
        let descent = Descent {
            reading: self,
            viewer,
            depth_max: query.depth_max,
            answers_max: query.replies_max,
            looks_left: query.looks_max.max(1),
            known: HashMap::new(),
        };
        descent.go(query.post, after)
    }

    fn origin(&self, viewer: Viewer<'_>, id: PostId) -> Result<Option<Origin>, ReadError> {
        if !self.has_applied(id.revision()) {
            return Ok(None);
        }
        let happened = self.posts.get_many(&[id.revision()])?.pop();
        let (author, reply_to, post) = match happened {
            Some(TimelineEvent::Post(post)) => {
                (post.author.clone(), post.content.reply_to.clone(), Some(post))
            }
            Some(TimelineEvent::Other(Change::Erased { author, reply_to, .. })) => {
                (author, reply_to, None)
            }
            _ => return Ok(None),
        };
        let is_seen = self.ids.get(&author).is_none_or(|author| viewer.sees(author));
        let shown = match post {
            // Asked after it was read: what is erased was deleted before.
            _ if self.hidden.retracted(id.revision()).is_some() => Err(Gap::Deleted),
            Some(post) if is_seen => Ok(post),
            _ => Err(Gap::Hidden),
        };
        Ok(Some(Origin { id, parent: reply_to.map(|to| to.parent.id), shown }))
    }
}

fn bytes_of(shown: &Result<Arc<Post>, Gap>) -> usize {
    shown.as_ref().map_or(0, |post| post.content.bytes())
}

/// The next of `views`, where there is no gap.
fn or_gap(gap: Option<Gap>, views: &mut impl Iterator<Item = PostView>) -> Result<PostView, Gap> {
    match gap {
        Some(gap) => Err(gap),
        None => views.next().ok_or(Gap::Deleted),
    }
}
