//! Reading what is between users, and users in numbers.

use super::{Engine, Error};
use crate::model::UserId;
use crate::query::{Profile, Relationship};

impl Engine {
    /// What is between `user` and each of `others`.
    #[must_use]
    pub fn relationships(&self, user: &UserId, others: &[UserId]) -> Vec<Relationship> {
        others.iter().map(|other| self.0.view.relationship(user, other)).collect()
    }

    /// `user` in numbers, as `viewer` sees them.
    ///
    /// # Errors
    /// [`Error::Blocked`] if they do not see each other; or the index cannot be read.
    pub async fn profile(&self, viewer: UserId, user: UserId) -> Result<Profile, Error> {
        self.check_sees(&viewer, &user)?;
        if let Some(profile) = self.0.view.profile_at_hand(&viewer, &user) {
            return Ok(profile);
        }
        self.0.view.read(move |view| Ok(view.profile(&viewer, &user)?)).await
    }
}
