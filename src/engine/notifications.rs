//! Reading what a user is notified of.

use super::{Engine, Error};
use crate::model::UserId;
use crate::query::{NoticesQuery, Notifications, PagePosition};

impl Engine {
    /// A page of what `user` is notified of, newest first.
    ///
    /// # Errors
    /// `place` is not of this log; or the log or the index cannot be read.
    pub async fn notifications(
        &self,
        user: UserId,
        items_max: usize,
        place: Option<PagePosition>,
    ) -> Result<Notifications, Error> {
        self.check_place(place)?;
        let query = NoticesQuery { user, place, items_max };
        self.0.view.read(move |view| Ok(view.notifications(&query)?)).await
    }
}
