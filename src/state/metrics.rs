//! The metrics of the state: how much there is of what takes memory, and its caches. All of it is kept
//! anyway, and read at a scrape.

use super::State;
use crate::runtime::metrics::{Metric, MetricValue, Scrape};

const APPLIED: Metric =
    Metric::gauge("whimbrel_applied_revision", &[], "The revision that every read shows");
const ITEMS: Metric = Metric::gauge(
    "whimbrel_state_items",
    &["kind"],
    "How many of each kind the state has in memory, of which each takes memory for ever or for a time",
);
const ENTRIES: Metric = Metric::gauge("whimbrel_cache_entries", &["cache"], "Entries of the cache");
const BYTES: Metric = Metric::gauge(
    "whimbrel_cache_bytes",
    &["cache"],
    "Estimated memory of the entries of the cache",
);
const HITS: Metric =
    Metric::counter("whimbrel_cache_hits_total", &["cache"], "Look-ups that the cache answered");
const MISSES: Metric = Metric::counter(
    "whimbrel_cache_misses_total",
    &["cache"],
    "Look-ups that the cache could not answer",
);

/// What a cache has, and how often it helped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheUse {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl State {
    /// How many there are of each kind that takes memory.
    #[must_use]
    pub fn items(&self) -> [(&'static str, usize); 6] {
        [
            ("user", self.users.len()),
            ("follow", self.graph.edge_count()),
            ("block", self.visibility.blocks().edge_count()),
            ("mute", self.visibility.mutes().edge_count()),
            ("retraction", self.visibility.retracted_count()),
            ("request_id", self.requests.count()),
        ]
    }

    /// The estimated bytes of each cache.
    #[must_use]
    pub fn cache_bytes(&self) -> [(&'static str, u64); 2] {
        self.caches().map(|(name, of_cache)| (name, of_cache.bytes))
    }

    /// Collects the metrics of the state.
    pub fn collect(&self, scrape: &mut Scrape) {
        scrape.count(&APPLIED, self.applied().get());
        let item =
            |(kind, count): (&str, usize)| ([kind.to_owned()], MetricValue::count(count as u64));
        scrape.add(&ITEMS, self.items().map(item));
        let mut add = |metric: &'static Metric, of: fn(CacheUse) -> u64| {
            let sample = |(name, cache): (&str, CacheUse)| {
                ([name.to_owned()], MetricValue::count(of(cache)))
            };
            scrape.add(metric, self.caches().map(sample));
        };
        add(&ENTRIES, |cache| cache.entries as u64);
        add(&BYTES, |cache| cache.bytes);
        add(&HITS, |cache| cache.hits);
        add(&MISSES, |cache| cache.misses);
    }

    fn caches(&self) -> [(&'static str, CacheUse); 2] {
        [("posts", self.posts.use_of()), ("older_reactions", self.records.use_of_older_reactions())]
    }
}
