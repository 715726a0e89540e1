//! Threads: what a post answers, and what answers it.
//!
//! Below the post the tree is gone through level by level. What was deleted or is hidden is looked
//! into, too: it is a gap where something that is shown hangs on it within the depth, and else left
//! out.

use std::collections::HashSet;
use std::sync::Arc;

use super::answers::{Gap, PostView, Thread, ThreadPost};
use super::fact::{Place, Table, Value};
use super::facts::Order;
use super::listing::Listing;
use super::seen_by::Viewer;
use super::{Happened, Missing, ReadError, View};
use crate::log;
use crate::model::{Change, Post, PostId, UserId};

/// Answers to a post that are read at first: most have fewer.
const ANSWERS_EXPECTED: usize = 16;

/// Which thread, and how much of it.
#[derive(Clone, Debug)]
pub struct ThreadQuery {
    /// Who reads it.
    pub viewer: UserId,
    /// The post that is asked for.
    pub post: PostId,
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

/// An answer in the tree.
#[derive(Clone, Copy, Debug)]
struct Answer {
    id: PostId,
    parent: PostId,
    depth: usize,
    gap: Option<Gap>,
}

/// Going through the answers to a post.
struct Descent<'a> {
    view: &'a View,
    viewer: &'a Viewer,
    depth_max: usize,
    looks_left: usize,
}

impl View {
    /// A thread; `None` if there never was such a post. May read the log and the index, which
    /// blocks for a moment.
    ///
    /// # Errors
    /// The log or the index is damaged or cannot be read.
    pub fn thread(&self, query: &ThreadQuery) -> Result<Option<Thread>, ReadError> {
        loop {
            let viewer = self.viewer(&query.viewer);
            let Some(asked) = self.origin(&viewer, query.post)? else { return Ok(None) };
            let mut above = Vec::new();
            let mut parent = asked.parent;
            let mut bytes = bytes_of(&asked.shown);
            while let Some(id) = parent.filter(|_| above.len() < query.ancestors_max) {
                let revision = id.revision();
                let origin = self.origin(&viewer, id)?.ok_or(Missing { revision })?;
                bytes += bytes_of(&origin.shown);
                if bytes > query.bytes_max / 2 {
                    break;
                }
                parent = origin.parent;
                above.push(origin);
            }
            above.reverse();
            let (mut below, mut cut) = Descent {
                view: self,
                viewer: &viewer,
                depth_max: query.depth_max,
                looks_left: query.looks_max,
            }
            .go(query.post, query.replies_max)?;

            let shown = below.iter().filter(|answer| answer.gap.is_none());
            let shown: Vec<_> = shown.map(|answer| answer.id).collect();
            // Else one that was deleted in this moment would be neither shown nor a gap.
            let Some(mut shown) = self.all_posts(&shown)? else { continue };
            // Parents come before what answers them, so what is left is a tree.
            let fits = |post: &&Arc<Post>| {
                bytes += post.content.bytes();
                bytes <= query.bytes_max
            };
            let fitting = shown.iter().take_while(fits).count();
            if let Some(first_left_out) = shown.get(fitting).map(|post| post.id()) {
                let kept = below.iter().take_while(|answer| answer.id != first_left_out).count();
                cut.extend(below.drain(kept..).map(|answer| answer.parent));
                shown.truncate(fitting);
            }
            let of_origins = above.iter().chain([&asked]).filter_map(|it| it.shown.clone().ok());
            let posts = of_origins.chain(shown).collect();
            let mut views = self.views_for(&viewer, posts)?.into_iter();

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
                has_more_replies: cut.contains(&asked.id),
            };
            let replies = below.into_iter().map(|answer| ThreadPost {
                id: answer.id,
                parent: Some(answer.parent),
                depth: answer.depth,
                shown: or_gap(answer.gap, &mut views),
                has_more_replies: cut.contains(&answer.id),
            });
            return Ok(Some(Thread { ancestors, post, replies: replies.collect() }));
        }
    }

    fn origin(&self, viewer: &Viewer, id: PostId) -> Result<Option<Origin>, ReadError> {
        if !self.has_applied(id.revision()) {
            return Ok(None);
        }
        let happened = self.posts.get_many(&[id.revision()])?.pop();
        let (author, reply_to, post) = match happened {
            Some(Happened::Post(post)) => {
                (post.author.clone(), post.content.reply_to.clone(), Some(post))
            }
            Some(Happened::Other(Change::Erased { author, reply_to, .. })) => {
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

impl<'a> Descent<'a> {
    /// At most `answers_max` answers below `root`, level by level; and the posts of which answers
    /// are left out.
    fn go(
        mut self,
        root: PostId,
        answers_max: usize,
    ) -> Result<(Vec<Answer>, HashSet<PostId>), log::Error> {
        let (mut listed, mut cut) = (Vec::new(), HashSet::new());
        let mut level = vec![root];
        for depth in 1..=self.depth_max {
            let left = answers_max - listed.len();
            let mut found = Vec::new();
            for parent in std::mem::take(&mut level) {
                let looked_out = self.add_answers(parent, depth, left, &mut found)?;
                if looked_out {
                    cut.insert(parent);
                }
            }
            found.sort_unstable_by_key(|answer| answer.id);
            cut.extend(found.drain(found.len().min(left)..).map(|answer: Answer| answer.parent));
            level.extend(found.iter().map(|answer| answer.id));
            listed.extend(found);
        }
        for parent in level {
            for answer in self.answers_to(parent) {
                let (place, author) = answer?;
                if self.looks_left == 0 || self.gap(place, author).is_none() {
                    cut.insert(parent);
                    break;
                }
                self.looks_left -= 1;
            }
        }
        Ok((listed, cut))
    }

    /// Adds the oldest answers to `parent` that are shown, or have something below that is: one more
    /// than `max`, if there are. Says whether it may have looked at too many to find them all.
    fn add_answers(
        &mut self,
        parent: PostId,
        depth: usize,
        max: usize,
        found: &mut Vec<Answer>,
    ) -> Result<bool, log::Error> {
        let found_before = found.len();
        for answer in self.answers_to(parent) {
            let (place, author) = answer?;
            if found.len() - found_before > max {
                break;
            }
            if self.looks_left == 0 {
                return Ok(true);
            }
            let (id, gap) = (PostId::at(place.revision()), self.gap(place, author));
            if self.is_alive(id, gap, depth)? {
                found.push(Answer { id, parent, depth, gap });
            }
        }
        Ok(self.looks_left == 0)
    }

    /// Whether an answer is shown, or something below it is within the depth.
    fn is_alive(&mut self, id: PostId, gap: Option<Gap>, depth: usize) -> Result<bool, log::Error> {
        self.looks_left = self.looks_left.saturating_sub(1);
        if gap.is_none() {
            return Ok(true);
        }
        if depth < self.depth_max {
            for answer in self.answers_to(id) {
                let (place, author) = answer?;
                if self.looks_left == 0 {
                    return Ok(false);
                }
                let (id, gap) = (PostId::at(place.revision()), self.gap(place, author));
                if self.is_alive(id, gap, depth + 1)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn gap(&self, place: Place, author: Value) -> Option<Gap> {
        if self.view.hidden.retracted(place.revision()).is_some() {
            Some(Gap::Deleted)
        } else {
            (!self.viewer.sees(author.user())).then_some(Gap::Hidden)
        }
    }

    /// All that ever answered `post`, oldest first.
    fn answers_to(&self, post: PostId) -> Listing<'a> {
        let about = (Table::Replies, post.into());
        Listing::new(&self.view.facts, about, Order::OldestFirst, Place::FIRST, ANSWERS_EXPECTED)
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
