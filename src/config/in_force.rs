//! The limits in force: those that an operator may change while the server runs are replaced all at
//! once, and the others never.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{LimitError, Limits};

/// The limits that are in force now. Cheap to clone: all clones are the same limits.
#[derive(Clone, Debug)]
pub struct LimitsInForce(Arc<ArcSwap<Limits>>);

impl LimitsInForce {
    /// `limits`, until they are replaced.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }

    /// The limits as they are now. To be asked again for each decision, and not to be kept.
    pub fn now(&self) -> impl Deref<Target = Limits> + use<> {
        struct Now(arc_swap::Guard<Arc<Limits>>);
        impl Deref for Now {
            type Target = Limits;

            fn deref(&self) -> &Limits {
                &self.0
            }
        }
        Now(self.0.load())
    }

    /// Puts in force what `limits` has for those that may change while a server runs. The others stay
    /// as they were at the start.
    ///
    /// # Errors
    /// A limit is refused: then nothing is changed.
    pub fn replace(&self, limits: &Limits) -> Result<(), LimitError> {
        let next = changeable(&self.0.load(), limits);
        next.check()?;
        self.0.store(Arc::new(next));
        Ok(())
    }
}

/// `present` with those limits of `given` that are read again for each decision. All others are read
/// at the start only, for what is made then: threads, caches, buffers.
fn changeable(present: &Limits, given: &Limits) -> Limits {
    Limits {
        follows_per_user_max: given.follows_per_user_max,
        streams_per_user_max: given.streams_per_user_max,
        streams_max: given.streams_max,
        connections_max: given.connections_max,
        connections_per_address_max: given.connections_per_address_max,
        user_reads_per_second_max: given.user_reads_per_second_max,
        user_changes_per_second_max: given.user_changes_per_second_max,
        user_streams_per_second_max: given.user_streams_per_second_max,
        new_user_follows_per_hour_max: given.new_user_follows_per_hour_max,
        new_user_mentions_per_hour_max: given.new_user_mentions_per_hour_max,
        new_user_time: given.new_user_time,
        address_reads_per_second_max: given.address_reads_per_second_max,
        address_changes_per_second_max: given.address_changes_per_second_max,
        address_streams_per_second_max: given.address_streams_per_second_max,
        address_refusals_per_second_max: given.address_refusals_per_second_max,
        disk_free_bytes_min: given.disk_free_bytes_min,
        compaction_interval: given.compaction_interval,
        drain_notice: given.drain_notice,
        ..present.clone()
    }
}
