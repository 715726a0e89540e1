//! The quota of open streams per user, over all shards. It never counts a dropped stream.

use std::sync::Arc;

use dashmap::DashMap;

use super::Error;
use crate::model::UserId;

/// The numbers of open streams by user. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StreamQuota {
    streams: Arc<DashMap<UserId, usize>>,
    streams_per_user_max: usize,
}

/// One stream of a user, which is counted until this is dropped.
#[derive(Debug)]
pub(super) struct StreamSlot {
    quota: StreamQuota,
    user: UserId,
}

impl StreamQuota {
    pub(super) fn new(streams_per_user_max: usize) -> Self {
        Self { streams: Arc::default(), streams_per_user_max }
    }

    /// Counts one more stream of `user`.
    ///
    /// # Errors
    /// The user has as many streams as the limit allows.
    pub(super) fn acquire(&self, user: &UserId) -> Result<StreamSlot, Error> {
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
