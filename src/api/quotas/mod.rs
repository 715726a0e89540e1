//! Quotas: how often one caller may call, and how often one address may try. Bounded in memory
//! however many callers there are: of the longest unseen the use is forgotten.
//!
//! Only callers who are one user have quotas. A backend acts for all users, and is limited by the
//! number of concurrent calls only. A read that takes much work counts as many: what it took is known
//! when it is done, and is paid for then. Never counts what is stored: that has limits of its own.

mod bucket;

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use tonic::Status;

use super::{ApiMetrics, status};
use crate::auth::Caller;
use crate::auth::access::Access;
use crate::config::{Limits, LimitsInForce};
use crate::model::UserId;
use crate::query::{CallerKey, QueryCaller, WorkMeter};
use crate::runtime::Clock;
use crate::runtime::metrics::{Label, label};
use bucket::{Bucket, Rate};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Work that costs about as much as a page from memory. A read counts as one, and as one more for each
/// time this work.
const WORK_PER_READ: usize = 512;

label! {
    /// What a quota counts, with its name in errors, in `GetServerInfo` and in metrics.
    pub(super) enum Quota {
        /// Calls that read.
        Reads = "user_reads",
        /// Calls that change something.
        Changes = "user_changes",
        /// Streams that are opened.
        Streams = "user_streams",
        /// Follows of a new user.
        NewUserFollows = "new_user_follows",
        /// Users mentioned by the posts of a new user.
        NewUserMentions = "new_user_mentions",
        /// Calls of all users of one address that read.
        AddressReads = "address_reads",
        /// Their calls that change something.
        AddressChanges = "address_changes",
        /// Streams that they open.
        AddressStreams = "address_streams",
        /// Tokens from one address that were not accepted.
        Refusals = "address_refusals",
    }
}

impl Quota {
    /// Those of a user.
    const OF_USER: [Self; 5] =
        [Self::Reads, Self::Changes, Self::Streams, Self::NewUserFollows, Self::NewUserMentions];
    /// Those of an address.
    const OF_ADDRESS: [Self; 4] =
        [Self::AddressReads, Self::AddressChanges, Self::AddressStreams, Self::Refusals];

    /// So many in so much time.
    fn max(self, limits: &Limits) -> (u32, Duration) {
        match self {
            Self::Reads => (limits.user_reads_per_second_max, SECOND),
            Self::Changes => (limits.user_changes_per_second_max, SECOND),
            Self::Streams => (limits.user_streams_per_second_max, SECOND),
            Self::NewUserFollows => (limits.new_user_follows_per_hour_max, HOUR),
            Self::NewUserMentions => (limits.new_user_mentions_per_hour_max, HOUR),
            Self::AddressReads => (limits.address_reads_per_second_max, SECOND),
            Self::AddressChanges => (limits.address_changes_per_second_max, SECOND),
            Self::AddressStreams => (limits.address_streams_per_second_max, SECOND),
            Self::Refusals => (limits.address_refusals_per_second_max, SECOND),
        }
    }

    fn rate(self, limits: &Limits) -> Rate {
        let (max, time) = self.max(limits);
        // Those of an hour may come at any time in it.
        Rate::new(max, time, if time == HOUR { HOUR } else { limits.quota_burst_time })
    }
}

/// A quota in force, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaUse {
    pub(super) quota: Quota,
    /// So many in each `time`.
    pub(super) max: u32,
    pub(super) time: Duration,
    /// So many more at once.
    pub(super) left: u64,
}

/// The quotas of all callers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Quotas(Arc<QuotaState>);

#[derive(Debug)]
struct QuotaState {
    limits: LimitsInForce,
    clock: Clock,
    metrics: ApiMetrics,
    users: Cache<UserId, Arc<UserUse>>,
    next_key: AtomicU64,
    addresses: Cache<IpAddr, Arc<AddressUse>>,
}

/// What a user has used.
#[derive(Debug)]
struct UserUse {
    key: CallerKey,
    clock: Clock,
    limits: LimitsInForce,
    buckets: [Bucket; Quota::OF_USER.len()],
}

/// What the users of an address have used.
#[derive(Debug, Default)]
struct AddressUse([Bucket; Quota::OF_ADDRESS.len()]);

impl AddressUse {
    /// The bucket of a quota of addresses.
    fn bucket(&self, quota: Quota) -> &Bucket {
        debug_assert!(Quota::OF_ADDRESS.contains(&quota), "{quota:?} is of a user");
        &self.0[quota as usize - Quota::OF_USER.len()]
    }
}

impl WorkMeter for UserUse {
    fn add(&self, work: usize) {
        // More than that is never owed.
        let reads = (work / WORK_PER_READ).min(u32::MAX as usize) as u32;
        if reads > 0 {
            let rate = Quota::Reads.rate(&self.limits.now());
            self.buckets[Quota::Reads as usize].charge(rate, reads, self.clock.elapsed());
        }
    }
}

impl Quotas {
    /// The quotas of `limits`, by the monotonic time of `clock`. Refusals count in `metrics`.
    #[must_use]
    pub fn new(limits: LimitsInForce, clock: Clock, metrics: ApiMetrics) -> Self {
        let callers_max = limits.now().quota_callers_max;
        let (users, addresses) = (Cache::new(callers_max), Cache::new(callers_max));
        let next_key = AtomicU64::new(1);
        Self(Arc::new(QuotaState { limits, clock, metrics, users, next_key, addresses }))
    }

    /// Counts a call of `caller` at `address` to an RPC with this access as `price` calls. Returns the
    /// caller of its queries, if it is one user.
    ///
    /// # Errors
    /// A quota is used up.
    pub(super) fn call(
        &self,
        caller: &Caller,
        address: Option<IpAddr>,
        access: Access,
        price: u32,
    ) -> Result<Option<QueryCaller>, Status> {
        let Some(user) = caller.user() else { return Ok(None) };
        let (quota, of_address) = match access {
            Access::Everybody | Access::AllUsers | Access::Administers => return Ok(None),
            Access::Reads => (Quota::Reads, Quota::AddressReads),
            Access::Changes => (Quota::Changes, Quota::AddressChanges),
            Access::Watches => (Quota::Streams, Quota::AddressStreams),
        };
        let used = self.used_by(user);
        // The user's own first: whoever has used it up takes nothing from others of the address.
        self.count_in(&used.buckets[quota as usize], quota, price)?;
        if let Some(address) = address {
            let used = entry(&self.0.addresses, &address, AddressUse::default);
            self.count_in(used.bucket(of_address), of_address, price)?;
        }
        Ok(Some(QueryCaller::metered(used.key, used)))
    }

    /// Counts a follow of `caller`, if they are new.
    ///
    /// # Errors
    /// Their quota is used up.
    pub(super) fn follow(&self, caller: &Caller) -> Result<(), Status> {
        if self.is_new(caller) { self.count(caller, Quota::NewUserFollows, 1) } else { Ok(()) }
    }

    /// Counts the mentions in a post of `caller`, if they are new.
    ///
    /// # Errors
    /// Their quota is used up.
    pub(super) fn mention(
        &self,
        caller: &Caller,
        mentions: impl FnOnce() -> u32,
    ) -> Result<(), Status> {
        if !self.is_new(caller) {
            return Ok(());
        }
        match mentions() {
            0 => Ok(()),
            mentions => self.count(caller, Quota::NewUserMentions, mentions),
        }
    }

    /// Whether a token from `address` is looked at, although tokens from there were refused.
    ///
    /// # Errors
    /// Too many were: the time until the next is looked at.
    pub(super) fn try_token(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(used) = self.0.addresses.get(&address) else { return Ok(()) };
        // As long as a unit would fit, nothing is counted.
        used.bucket(Quota::Refusals).add(self.rate(Quota::Refusals), 0, self.now())
    }

    /// The error of a token that is not looked at, as too many were refused: one is in `wait`.
    pub(super) fn too_many_refusals(&self, wait: Duration) -> Status {
        self.exceeded(Quota::Refusals, wait)
    }

    /// Counts a token from `address` that was not accepted.
    pub(super) fn refused(&self, address: IpAddr) {
        let used = entry(&self.0.addresses, &address, AddressUse::default);
        used.bucket(Quota::Refusals).charge(self.rate(Quota::Refusals), 1, self.now());
    }

    /// The quotas of `caller` at `address`, with what is left of each.
    pub(super) fn of(&self, caller: &Caller, address: Option<IpAddr>) -> Vec<QuotaUse> {
        let Some(user) = caller.user() else { return Vec::new() };
        let used = self.0.users.get(user);
        let is_new = self.is_new(caller);
        let is_for_new = |quota| matches!(quota, Quota::NewUserFollows | Quota::NewUserMentions);
        let quotas = Quota::OF_USER.into_iter().filter(|quota| is_new || !is_for_new(*quota));
        let of_user =
            quotas.map(|quota| (quota, used.as_ref().map(|used| &used.buckets[quota as usize])));
        let of_address = address.and_then(|address| self.0.addresses.get(&address));
        let quotas = address.into_iter().flat_map(|_| Quota::OF_ADDRESS);
        let of_address =
            quotas.map(|quota| (quota, of_address.as_ref().map(|used| used.bucket(quota))));
        let unused = Bucket::default();
        of_user
            .chain(of_address)
            .map(|(quota, bucket)| {
                let (max, time) = quota.max(&self.0.limits.now());
                let left = bucket.unwrap_or(&unused).room(self.rate(quota), self.now());
                QuotaUse { quota, max, time, left }
            })
            .collect()
    }

    fn count(&self, caller: &Caller, quota: Quota, units: u32) -> Result<(), Status> {
        let Some(user) = caller.user() else { return Ok(()) };
        self.count_in(&self.used_by(user).buckets[quota as usize], quota, units)
    }

    fn count_in(&self, bucket: &Bucket, quota: Quota, units: u32) -> Result<(), Status> {
        let added = bucket.add(self.rate(quota), units, self.now());
        added.map_err(|wait| self.exceeded(quota, wait))
    }

    fn used_by(&self, user: &UserId) -> Arc<UserUse> {
        entry(&self.0.users, user, || UserUse {
            key: CallerKey::User(self.0.next_key.fetch_add(1, Ordering::Relaxed)),
            clock: self.0.clock.clone(),
            limits: self.0.limits.clone(),
            buckets: Default::default(),
        })
    }

    fn exceeded(&self, quota: Quota, wait: Duration) -> Status {
        self.0.metrics.quota_refused(quota);
        let (max, time) = quota.max(&self.0.limits.now());
        status::quota_exceeded(quota.name(), max, time, wait)
    }

    fn rate(&self, quota: Quota) -> Rate {
        quota.rate(&self.0.limits.now())
    }

    /// Whether the caller's account is younger than a new one is. Of an issuer that does not say,
    /// nobody is new.
    fn is_new(&self, caller: &Caller) -> bool {
        let now = self.0.clock.since_epoch().unwrap_or_default();
        caller.since().is_some_and(|since| now < since + self.0.limits.now().new_user_time)
    }

    fn now(&self) -> Duration {
        self.0.clock.elapsed()
    }
}

/// The entry of `key`, which `make` makes if there is none.
fn entry<K: Hash + Eq + Clone, V>(
    cache: &Cache<K, Arc<V>>,
    key: &K,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    let made = || Ok::<_, std::convert::Infallible>(Arc::new(make()));
    match cache.get_or_insert_with(key, made) {
        Ok(entry) => entry,
        Err(never) => match never {},
    }
}
