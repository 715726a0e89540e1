//! What every read has to ask first: whether the server has come far enough, and whether the caller
//! may see what they ask for.

use std::time::Duration;

use super::{Engine, Error};
use crate::model::{Cursor, PostId, UserId};
use crate::query::PagePosition;
use crate::state::State;

impl Engine {
    /// Waits until reads show `at_least`, for `wait_max` at most. To be asked before every read
    /// whose caller names a position.
    ///
    /// # Errors
    /// `at_least` is no position of this log, or is not reached in time.
    pub async fn reached(&self, at_least: Option<Cursor>, wait_max: Duration) -> Result<(), Error> {
        let Some(wanted) = at_least else { return Ok(()) };
        self.0.hub.check_cursor(&wanted)?;
        let view = &self.0.view;
        let reached =
            tokio::time::timeout(wait_max, view.reached(wanted.required_revision())).await;
        reached.map_err(|_| Error::NodeBehind {
            wanted: wanted.required_revision(),
            applied: view.applied(),
        })
    }

    /// Checks that a listing can go on at `place`: after a restore from an older backup its items
    /// may be others by now.
    pub(super) fn check_place(&self, place: Option<PagePosition>) -> Result<(), Error> {
        if let Some(place) = place {
            self.0.hub.check_cursor(&self.0.hub.cursor_after(place.at))?;
        }
        Ok(())
    }

    /// Checks that `viewer` and `user` see each other.
    pub(super) fn check_sees(&self, viewer: &UserId, user: &UserId) -> Result<(), Error> {
        if self.0.view.are_apart(viewer, user) {
            return Err(Error::Blocked { user: viewer.clone(), other: user.clone() });
        }
        Ok(())
    }
}

/// Checks that there is a `post` and that `viewer` sees it. May block.
pub(super) fn check_post(view: &State, viewer: &UserId, post: PostId) -> Result<(), Error> {
    if view.is_post_seen(viewer, post)? { Ok(()) } else { Err(Error::PostNotFound { post }) }
}
