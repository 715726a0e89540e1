//! The replies below a post, level by level.
//!
//! A reply is *alive* if it is shown, or if something below it is shown with nothing but gaps in
//! between, however deep. Only those are listed, and only those make a post one that has more
//! replies. To find out may take long; where it takes longer than allowed, a reply counts as alive, so
//! that whoever asks for the replies below it comes further.

use std::collections::{HashMap, HashSet};

use crate::model::{PostId, Revision};
use crate::query::hydrate::Viewer;
use crate::query::results::Gap;
use crate::query::scan::RecordScan;
use crate::query::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Table, Value};

/// Replies to a post that are read at first: most have fewer.
const REPLIES_EXPECTED: usize = 16;

/// A reply in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyNode {
    pub(super) id: PostId,
    pub(super) parent: PostId,
    pub(super) depth: usize,
    pub(super) gap: Option<Gap>,
}

/// The replies found below a post.
#[derive(Debug, Default)]
pub(super) struct RepliesBelow {
    /// Level by level, each oldest first.
    pub(super) replies: Vec<ReplyNode>,
    /// The posts of which replies are left out.
    pub(super) cut: HashSet<PostId>,
    /// If replies to the post itself are left out: they come after this.
    pub(super) next_after: Option<Revision>,
}

impl RepliesBelow {
    /// Leaves out the reply `first` and all that come after it. The replies to `root` began after
    /// `after`.
    pub(super) fn leave_out_from(&mut self, first: PostId, root: PostId, after: Revision) {
        let kept = self.replies.iter().take_while(|reply| reply.id != first).count();
        let left_out = self.replies.split_off(kept);
        if left_out.iter().any(|reply| reply.parent == root) {
            let of_root = self.replies.iter().rfind(|reply| reply.parent == root);
            self.next_after = Some(of_root.map_or(after, |reply| reply.id.revision()));
        }
        self.cut.extend(left_out.into_iter().map(|reply| reply.parent));
    }
}

/// A walk through the replies to a post.
pub(super) struct ReplyWalk<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) viewer: Viewer<'a>,
    pub(super) depth_max: usize,
    pub(super) replies_max: usize,
    pub(super) looks_left: usize,
    /// Whether the gaps that were looked below are alive.
    pub(super) known: HashMap<PostId, bool>,
}

impl<'a> ReplyWalk<'a> {
    /// The replies below `root`; to itself only those after `after`.
    pub(super) fn run(mut self, root: PostId, after: Revision) -> Result<RepliesBelow, Unanswered> {
        let mut below = RepliesBelow::default();
        let mut level = vec![root];
        for depth in 1..=self.depth_max {
            let left = self.replies_max - below.replies.len();
            let from = if depth == 1 { after } else { Revision::ZERO };
            let mut found = Vec::new();
            for parent in std::mem::take(&mut level) {
                let looked_until = self.add_replies(parent, from, depth, left, &mut found)?;
                if looked_until.is_some() {
                    below.cut.insert(parent);
                }
                if depth == 1 {
                    below.next_after = looked_until;
                }
            }
            found.sort_unstable_by_key(|reply: &ReplyNode| reply.id);
            if found.len() > left && depth == 1 {
                let last = left.checked_sub(1).map(|last| found[last].id.revision());
                below.next_after = Some(last.unwrap_or(after));
            }
            below.cut.extend(found.drain(found.len().min(left)..).map(|reply| reply.parent));
            level.extend(found.iter().map(|reply| reply.id));
            below.replies.extend(found);
        }
        let from = if self.depth_max == 0 { after } else { Revision::ZERO };
        for parent in level {
            if self.has_alive(parent, from)? {
                below.cut.insert(parent);
            }
        }
        if self.depth_max == 0 && below.cut.contains(&root) {
            below.next_after = Some(after);
        }
        Ok(below)
    }

    /// Adds the oldest replies to `parent` that are alive: one more than `max`, if there are. If it
    /// may not look at all of them, it gives the last that it looked at.
    fn add_replies(
        &mut self,
        parent: PostId,
        from: Revision,
        depth: usize,
        max: usize,
        found: &mut Vec<ReplyNode>,
    ) -> Result<Option<Revision>, Unanswered> {
        let enough = found.len() + max;
        let mut looked_until = from;
        for reply in self.replies_to(parent, from) {
            let (position, author) = reply?;
            if found.len() > enough {
                break;
            }
            if self.looks_left == 0 {
                return Ok(Some(looked_until));
            }
            let (id, gap) =
                (PostId::from_revision(position.revision()), self.gap(position, author));
            if self.is_alive(id, gap)? {
                found.push(ReplyNode { id, parent, depth, gap });
            }
            looked_until = position.revision();
        }
        Ok(None)
    }

    /// Whether a reply to `parent` after `from` is alive, as far as it may look.
    fn has_alive(&mut self, parent: PostId, from: Revision) -> Result<bool, Unanswered> {
        for reply in self.replies_to(parent, from) {
            let (position, author) = reply?;
            let (id, gap) =
                (PostId::from_revision(position.revision()), self.gap(position, author));
            if self.looks_left == 0 || self.is_alive(id, gap)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a reply is alive, as far as it may look: at this one at least.
    fn is_alive(&mut self, id: PostId, gap: Option<Gap>) -> Result<bool, Unanswered> {
        self.look()?;
        if gap.is_none() {
            return Ok(true);
        }
        if let Some(&known) = self.known.get(&id) {
            return Ok(known);
        }
        // Depth first, along one path of gaps after the other: they may be longer than a stack.
        let mut path = vec![(id, self.replies_to(id, Revision::ZERO))];
        while let Some((id, replies)) = path.last_mut() {
            let Some((position, author)) = replies.next().transpose()? else {
                self.known.insert(*id, false);
                path.pop();
                continue;
            };
            if self.looks_left == 0 {
                return Ok(true);
            }
            self.look()?;
            let id = PostId::from_revision(position.revision());
            let gap = self.gap(position, author);
            match gap.map_or(Some(true), |_| self.known.get(&id).copied()) {
                Some(true) => {
                    self.known.extend(path.iter().map(|&(id, _)| (id, true)));
                    return Ok(true);
                }
                Some(false) => {}
                None => path.push((id, self.replies_to(id, Revision::ZERO))),
            }
        }
        Ok(false)
    }

    /// Counts a look.
    fn look(&mut self) -> Result<(), Unanswered> {
        assert!(self.looks_left > 0, "it may not look any further");
        self.looks_left -= 1;
        self.source.skip(1)
    }

    fn gap(&self, position: Position, author: Value) -> Option<Gap> {
        if self.source.state.is_retracted(position.revision()) {
            Some(Gap::Deleted)
        } else {
            (!self.viewer.sees(author.user())).then_some(Gap::Hidden)
        }
    }

    /// All replies that `post` ever had after `after`, oldest first.
    fn replies_to(&self, post: PostId, after: Revision) -> RecordScan<'a> {
        let about = (Table::Replies, post.into());
        let order = ListOrder::OldestFirst;
        RecordScan::new(self.source, about, order, after.into(), REPLIES_EXPECTED)
    }
}
