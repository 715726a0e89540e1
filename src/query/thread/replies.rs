//! The replies below a post, level by level. Never reads the content of a post.
//!
//! A reply is *alive* if it is shown, or if a reply below it, at any depth, is shown and all
//! between the two are gaps. Only alive replies are listed, and only alive replies count for "has
//! more replies". The search is limited: a reply that it does not reach counts as alive, so that a
//! thread read from there finds out.

use std::collections::{HashMap, HashSet};

use crate::model::{PostId, Revision};
use crate::query::hydrate::Viewer;
use crate::query::results::Gap;
use crate::query::scan::RecordScan;
use crate::query::{Source, Unanswered};
use crate::state::records::ListOrder;
use crate::state::records::record::{Position, Table, Value};

/// The first chunk of the replies to a post: most have fewer.
const REPLIES_EXPECTED: usize = 16;

/// A reply in the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyNode {
    pub(super) id: PostId,
    pub(super) parent: PostId,
    pub(super) depth: usize,
    pub(super) gap: Option<Gap>,
}

/// The listed replies below a post.
#[derive(Debug, Default)]
pub(super) struct RepliesBelow {
    /// Level by level, each oldest first.
    pub(super) replies: Vec<ReplyNode>,
    /// The posts with replies that are left out.
    pub(super) cut: HashSet<PostId>,
    /// The omitted replies to the post itself are after this; `None` if there are none.
    pub(super) next_after: Option<Revision>,
}

impl RepliesBelow {
    /// Leaves out the reply `first` and all after it. The replies to `root` were listed from
    /// `after` on.
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
    pub(super) scans_left: usize,
    /// Whether a gap is alive, for gaps that were searched.
    pub(super) known: HashMap<PostId, bool>,
}

impl<'a> ReplyWalk<'a> {
    /// The replies below `root`; of the replies to `root` itself only those after `after`.
    pub(super) fn run(mut self, root: PostId, after: Revision) -> Result<RepliesBelow, Unanswered> {
        let mut below = RepliesBelow::default();
        let mut level = vec![root];
        for depth in 1..=self.depth_max {
            let left = self.replies_max - below.replies.len();
            let from = if depth == 1 { after } else { Revision::ZERO };
            let mut found = Vec::new();
            for parent in std::mem::take(&mut level) {
                let scanned_until = self.add_replies(parent, from, depth, left, &mut found)?;
                if scanned_until.is_some() {
                    below.cut.insert(parent);
                }
                if depth == 1 {
                    below.next_after = scanned_until;
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

    /// Adds the oldest alive replies to `parent`: at most one more than `max`. Returns the last one
    /// that was scanned, if the scan limit ended the search.
    fn add_replies(
        &mut self,
        parent: PostId,
        from: Revision,
        depth: usize,
        max: usize,
        found: &mut Vec<ReplyNode>,
    ) -> Result<Option<Revision>, Unanswered> {
        let enough = found.len() + max;
        let mut scanned_until = from;
        for reply in self.replies_to(parent, from) {
            let (position, author) = reply?;
            if found.len() > enough {
                break;
            }
            if self.scans_left == 0 {
                return Ok(Some(scanned_until));
            }
            let (id, gap) =
                (PostId::from_revision(position.revision()), self.gap(position, author));
            if self.is_alive(id, gap)? {
                found.push(ReplyNode { id, parent, depth, gap });
            }
            scanned_until = position.revision();
        }
        Ok(None)
    }

    /// Whether a reply to `parent` after `from` is alive, or the scan limit is reached.
    fn has_alive(&mut self, parent: PostId, from: Revision) -> Result<bool, Unanswered> {
        for reply in self.replies_to(parent, from) {
            let (position, author) = reply?;
            let (id, gap) =
                (PostId::from_revision(position.revision()), self.gap(position, author));
            if self.scans_left == 0 || self.is_alive(id, gap)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a reply is alive, or the scan limit is reached below it. Needs one scan at least.
    fn is_alive(&mut self, id: PostId, gap: Option<Gap>) -> Result<bool, Unanswered> {
        self.count_scan()?;
        if gap.is_none() {
            return Ok(true);
        }
        if let Some(&known) = self.known.get(&id) {
            return Ok(known);
        }
        // Depth first, with a stack of its own: a path of gaps has no limited length.
        let mut path = vec![(id, self.replies_to(id, Revision::ZERO))];
        while let Some((id, replies)) = path.last_mut() {
            let Some((position, author)) = replies.next().transpose()? else {
                self.known.insert(*id, false);
                path.pop();
                continue;
            };
            if self.scans_left == 0 {
                return Ok(true);
            }
            self.count_scan()?;
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

    /// Counts one scanned reply.
    fn count_scan(&mut self) -> Result<(), Unanswered> {
        assert!(self.scans_left > 0, "the scan limit is reached");
        self.scans_left -= 1;
        self.source.skip(1)
    }

    fn gap(&self, position: Position, author: Value) -> Option<Gap> {
        if self.source.state.is_retracted(position.revision()) {
            Some(Gap::Deleted)
        } else {
            (!self.viewer.sees(author.user())).then_some(Gap::Hidden)
        }
    }

    /// All replies to `post` after `after`, deleted ones included, oldest first.
    fn replies_to(&self, post: PostId, after: Revision) -> RecordScan<'a> {
        let about = (Table::Replies, post.into());
        let order = ListOrder::OldestFirst;
        RecordScan::new(self.source, about, order, after.into(), REPLIES_EXPECTED)
    }
}
