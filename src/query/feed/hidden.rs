//! The users who are hidden from a viewer's home feed and streams at a revision. A relation that
//! has ended is not stored, so it never counts.

use crate::model::Revision;
use crate::state::graph::Edges;
use crate::state::users::UserIx;
use crate::state::visibility::Visibility;

/// The users who are hidden from a viewer. The edges are copies; most are empty.
#[derive(Debug)]
pub(super) struct HiddenUsers<'a> {
    visibility: &'a Visibility,
    viewer: UserIx,
    muted: Edges,
    shown_since: Edges,
}

impl<'a> HiddenUsers<'a> {
    pub(super) fn of(visibility: &'a Visibility, viewer: UserIx) -> Self {
        let (muted, shown_since) =
            (visibility.mutes().edges(viewer), visibility.shown_again().edges(viewer));
        Self { visibility, viewer, muted, shown_since }
    }

    /// Whether nobody is hidden from the viewer, as for most: then no user has to be looked up.
    pub(super) fn sees_all(&self) -> bool {
        self.muted.is_empty()
            && self.shown_since.is_empty()
            && self.visibility.blocked_count_max(self.viewer) == 0
    }

    /// Whether the viewer saw `other` at `as_of`, as far as the state has that: a user who is
    /// hidden now counts as always hidden, and a user who is shown again as hidden until then.
    pub(super) fn sees(&self, other: UserIx, as_of: Revision) -> bool {
        self.sees_followed(other, as_of)
            && !self.visibility.is_blocked_either_way(self.viewer, other)
    }

    /// The same for a user whom the viewer follows: a block ends a follow, so none has to be
    /// checked.
    pub(super) fn sees_followed(&self, other: UserIx, as_of: Revision) -> bool {
        self.muted.since(other).is_none() && self.shown_since(other) < as_of
    }

    /// The revision since which the viewer sees `other` again; [`Revision::ZERO`] for always.
    pub(super) fn shown_since(&self, other: UserIx) -> Revision {
        self.shown_since.since(other).unwrap_or(Revision::ZERO)
    }

    /// The revision of the last change of the viewer's mutes.
    pub(super) fn changed_at(&self) -> Revision {
        self.muted.changed_at
    }
}
