//! Going down a thread: the answers below a post, level by level.
//!
//! An answer is *alive* if it is shown, or if something is shown below it with nothing but gaps in
//! between, however deep. Only those are listed, and only those make a post one that has more
//! answers. To find out may take long; where it takes longer than allowed, an answer counts as
//! alive, so that whoever asks for what is below it comes further.

use std::collections::{HashMap, HashSet};

use crate::model::{PostId, Revision};
use crate::query::hydrate::Viewer;
use crate::query::results::Gap;
use crate::state::reads::{ReadError, Reading};
use crate::state::records::Order;
use crate::state::records::record::{Position, Table, Value};
use crate::state::records::scan::RecordScan;

/// Answers to a post that are read at first: most have fewer.
const ANSWERS_EXPECTED: usize = 16;

/// An answer in the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) id: PostId,
    pub(crate) parent: PostId,
    pub(crate) depth: usize,
    pub(crate) gap: Option<Gap>,
}

/// What was found below a post.
#[derive(Debug, Default)]
pub(crate) struct Below {
    /// Level by level, each oldest first.
    pub(crate) answers: Vec<Answer>,
    /// The posts of which answers are left out.
    pub(crate) cut: HashSet<PostId>,
    /// If answers to the post itself are left out: they come after this.
    pub(crate) next_after: Option<Revision>,
}

impl Below {
    /// Leaves out the answer `first` and all that come after it, in an answer about `root` that
    /// began after `after`.
    pub(crate) fn leave_out_from(&mut self, first: PostId, root: PostId, after: Revision) {
        let kept = self.answers.iter().take_while(|answer| answer.id != first).count();
        let left_out = self.answers.split_off(kept);
        if left_out.iter().any(|answer| answer.parent == root) {
            let of_root = self.answers.iter().rfind(|answer| answer.parent == root);
            self.next_after = Some(of_root.map_or(after, |answer| answer.id.revision()));
        }
        self.cut.extend(left_out.into_iter().map(|answer| answer.parent));
    }
}

/// Going through the answers to a post.
pub(crate) struct Descent<'a> {
    pub(crate) reading: &'a Reading<'a>,
    pub(crate) viewer: Viewer<'a>,
    pub(crate) depth_max: usize,
    pub(crate) answers_max: usize,
    pub(crate) looks_left: usize,
    /// The gaps that were looked below: whether they are alive.
    pub(crate) known: HashMap<PostId, bool>,
}

impl<'a> Descent<'a> {
    /// The answers below `root`; to itself only those after `after`.
    pub(crate) fn go(mut self, root: PostId, after: Revision) -> Result<Below, ReadError> {
        let mut below = Below::default();
        let mut level = vec![root];
        for depth in 1..=self.depth_max {
            let left = self.answers_max - below.answers.len();
            let from = if depth == 1 { after } else { Revision::ZERO };
            let mut found = Vec::new();
            for parent in std::mem::take(&mut level) {
                let looked_until = self.add_answers(parent, from, depth, left, &mut found)?;
                if looked_until.is_some() {
                    below.cut.insert(parent);
                }
                if depth == 1 {
                    below.next_after = looked_until;
                }
            }
            found.sort_unstable_by_key(|answer: &Answer| answer.id);
            if found.len() > left && depth == 1 {
                let last = left.checked_sub(1).map(|last| found[last].id.revision());
                below.next_after = Some(last.unwrap_or(after));
            }
            below.cut.extend(found.drain(found.len().min(left)..).map(|answer| answer.parent));
            level.extend(found.iter().map(|answer| answer.id));
            below.answers.extend(found);
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

    /// Adds the oldest answers to `parent` that are alive: one more than `max`, if there are. If it
    /// may not look at all of them, it says how far it came.
    fn add_answers(
        &mut self,
        parent: PostId,
        from: Revision,
        depth: usize,
        max: usize,
        found: &mut Vec<Answer>,
    ) -> Result<Option<Revision>, ReadError> {
        let enough = found.len() + max;
        let mut looked_until = from;
        for answer in self.answers_to(parent, from) {
            let (place, author) = answer?;
            if found.len() > enough {
                break;
            }
            if self.looks_left == 0 {
                return Ok(Some(looked_until));
            }
            let (id, gap) = (PostId::from_revision(place.revision()), self.gap(place, author));
            if self.is_alive(id, gap)? {
                found.push(Answer { id, parent, depth, gap });
            }
            looked_until = place.revision();
        }
        Ok(None)
    }

    /// Whether an answer to `parent` after `from` is alive, as far as it may look.
    fn has_alive(&mut self, parent: PostId, from: Revision) -> Result<bool, ReadError> {
        for answer in self.answers_to(parent, from) {
            let (place, author) = answer?;
            let (id, gap) = (PostId::from_revision(place.revision()), self.gap(place, author));
            if self.looks_left == 0 || self.is_alive(id, gap)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an answer is alive, as far as it may look: at this one at least.
    fn is_alive(&mut self, id: PostId, gap: Option<Gap>) -> Result<bool, ReadError> {
        self.look()?;
        if gap.is_none() {
            return Ok(true);
        }
        if let Some(&known) = self.known.get(&id) {
            return Ok(known);
        }
        // Depth first, along one path of gaps after the other: they may be longer than a stack.
        let mut path = vec![(id, self.answers_to(id, Revision::ZERO))];
        while let Some((id, answers)) = path.last_mut() {
            let Some((place, author)) = answers.next().transpose()? else {
                self.known.insert(*id, false);
                path.pop();
                continue;
            };
            if self.looks_left == 0 {
                return Ok(true);
            }
            self.look()?;
            let id = PostId::from_revision(place.revision());
            let gap = self.gap(place, author);
            match gap.map_or(Some(true), |_| self.known.get(&id).copied()) {
                Some(true) => {
                    self.known.extend(path.iter().map(|&(id, _)| (id, true)));
                    return Ok(true);
                }
                Some(false) => {}
                None => path.push((id, self.answers_to(id, Revision::ZERO))),
            }
        }
        Ok(false)
    }

    /// Counts a look.
    fn look(&mut self) -> Result<(), ReadError> {
        assert!(self.looks_left > 0, "it may not look any further");
        self.looks_left -= 1;
        self.reading.caller().check()
    }

    fn gap(&self, place: Position, author: Value) -> Option<Gap> {
        if self.reading.hidden.retracted(place.revision()).is_some() {
            Some(Gap::Deleted)
        } else {
            (!self.viewer.sees(author.user())).then_some(Gap::Hidden)
        }
    }

    /// All that ever answered `post` after `after`, oldest first.
    fn answers_to(&self, post: PostId, after: Revision) -> RecordScan<'a> {
        let about = (Table::Replies, post.into());
        RecordScan::new(
            &self.reading.facts,
            about,
            Order::OldestFirst,
            after.into(),
            ANSWERS_EXPECTED,
        )
    }
}
