//! The users whom a viewer's home feed and streams leave out, as of a moment.

use crate::model::Revision;
use crate::state::graph::Edges;
use crate::state::users::UserIx;
use crate::state::visibility::Visibility;

/// The users hidden from a viewer. The viewer's own lists are copies; most are empty.
#[derive(Debug)]
pub(super) struct HiddenUsers<'a> {
    visibility: &'a Visibility,
    viewer: UserIx,
    muted: Edges,
    shown: Edges,
}

impl<'a> HiddenUsers<'a> {
    pub(super) fn of(visibility: &'a Visibility, viewer: UserIx) -> Self {
        let (muted, shown) = (visibility.mutes().edges(viewer), visibility.shown().edges(viewer));
        Self { visibility, viewer, muted, shown }
    }

    /// Whether the viewer saw `other` at `as_of`, as far as that is known: what is hidden now counts
    /// as hidden ever since, and what is shown again as hidden until then.
    pub(super) fn sees(&self, other: UserIx, as_of: Revision) -> bool {
        self.sees_followed(other, as_of)
            && !self.visibility.is_blocked_either_way(self.viewer, other)
    }

    /// The same of a user whom the viewer follows: between those there is no block.
    pub(super) fn sees_followed(&self, other: UserIx, as_of: Revision) -> bool {
        self.muted.since(other).is_none() && self.shown_since(other) < as_of
    }

    /// Since when the viewer sees `other` again; [`Revision::ZERO`] if they always did.
    pub(super) fn shown_since(&self, other: UserIx) -> Revision {
        self.shown.since(other).unwrap_or(Revision::ZERO)
    }

    /// The last change of the viewer's mutes.
    pub(super) fn changed_at(&self) -> Revision {
        self.muted.changed_at
    }
}
