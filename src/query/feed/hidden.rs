//! Whom a viewer's home feed, streams and notices leave out, as of a moment.

use crate::model::Revision;
use crate::state::graph::Edges;
use crate::state::users::UserIx;
use crate::state::visibility::Visibility;

/// What a viewer hides. What is of the viewer alone is a copy; most copies are empty.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    hidden: &'a Visibility,
    viewer: UserIx,
    muted: Edges,
    shown: Edges,
}

impl Visibility {
    /// What `viewer` does not see.
    pub(crate) fn sight(&self, viewer: UserIx) -> Sight<'_> {
        let (muted, shown) = self.edges_of(viewer);
        Sight { hidden: self, viewer, muted, shown }
    }
}

impl Sight<'_> {
    /// Whether the viewer saw `other` at `as_of`, as far as that is known: what is hidden now counts
    /// as hidden ever since, and what is shown again as hidden until then.
    pub(crate) fn sees(&self, other: UserIx, as_of: Revision) -> bool {
        self.has(other, as_of) && !self.hidden.are_apart(self.viewer, other)
    }

    /// The same of somebody whom the viewer follows: they block each other never.
    pub(crate) fn has(&self, other: UserIx, as_of: Revision) -> bool {
        self.muted.since(other).is_none() && self.shown_since(other) < as_of
    }

    /// Since when the viewer sees `other` again; [`Revision::ZERO`] if that was never otherwise.
    pub(crate) fn shown_since(&self, other: UserIx) -> Revision {
        self.shown.since(other).unwrap_or(Revision::ZERO)
    }

    /// The change of whom the viewer mutes that came last.
    pub(crate) fn changed_at(&self) -> Revision {
        self.muted.changed_at
    }
}
