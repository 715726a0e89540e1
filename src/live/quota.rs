//! How many streams each user has open, over all shards.

use std::sync::Arc;

use dashmap::DashMap;

use super::Error;
use crate::model::UserId;

/// The counts of all users with a stream. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StreamQuota {
    streams: Arc<DashMap<UserId, usize>>,
    streams_per_user_max: usize,
}

/// One stream of a user's, counted until this is dropped.
#[derive(Debug)]
pub(super) struct StreamSlot {
    quota: StreamQuota,
    user: UserId,
}

impl StreamQuota {
    pub(super) fn new(streams_per_user_max: usize) -> Self {
        Self { streams: Arc::default(), streams_per_user_max }
    }

    /// Counts a stream of `user`'s.
    ///
    /// # Errors
    /// The user has as many as allowed.
    pub(super) fn take(&self, user: &UserId) -> Result<StreamSlot, Error> {
        let mut streams = self.streams.entry(user.clone()).or_default();
        if *streams >= self.streams_per_user_max {
            return Err(Error::TooManyStreamsOfUser { streams_max: self.streams_per_user_max });
        }
        *streams += 1;
        Ok(StreamSlot { quota: self.clone(), user: user.clone() })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.quota.streams.remove_if_mut(&self.user, |_, streams| {
            *streams -= 1;
            *streams == 0
        });
    }
}
