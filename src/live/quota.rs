//! The numbers of open streams, in all and per user, over all shards. They never count a dropped
//! stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::Error;
use crate::config::LimitsInForce;
use crate::model::UserId;

/// The numbers of open streams by user. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StreamQuota {
    streams: Arc<DashMap<UserId, usize>>,
    open: Arc<AtomicUsize>,
    limits: LimitsInForce,
}

/// One stream of a user, which is counted until this is dropped.
#[derive(Debug)]
pub(super) struct StreamSlot {
    quota: StreamQuota,
    user: UserId,
    _open: OpenSlot,
}

/// One stream, which is counted among all until this is dropped.
#[derive(Debug)]
struct OpenSlot(Arc<AtomicUsize>);

impl StreamQuota {
    pub(super) fn new(limits: LimitsInForce) -> Self {
        Self { streams: Arc::default(), open: Arc::default(), limits }
    }

    /// Counts one more stream of `user`.
    ///
    /// # Errors
    /// There are as many streams as the limit allows, of all or of the user.
    pub(super) fn acquire(&self, user: &UserId) -> Result<StreamSlot, Error> {
        let limits = self.limits.now();
        let open = self.count_open(limits.streams_max)?;
        let mut streams = self.streams.entry(user.clone()).or_default();
        if *streams >= limits.streams_per_user_max {
            return Err(Error::TooManyStreamsOfUser { streams_max: limits.streams_per_user_max });
        }
        *streams += 1;
        Ok(StreamSlot { quota: self.clone(), user: user.clone(), _open: open })
    }

    fn count_open(&self, streams_max: usize) -> Result<OpenSlot, Error> {
        let one_more = |open| (open < streams_max).then_some(open + 1);
        // Only the number matters, and nothing is read because of it.
        let counted = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map_err(|_| Error::TooManyStreams { streams_max })?;
        Ok(OpenSlot(Arc::clone(&self.open)))
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        let open = self.0.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(open > 0, "each stream is counted once");
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
