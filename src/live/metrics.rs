//! The metrics of live feeds: streams, what is delivered, how late, and what was lost on the way and read
//! from the log.

use std::sync::Arc;
use std::time::Duration;

use super::LiveFeeds;
use crate::runtime::metrics::{
    Buckets, Counter, Counters, Histogram, Metric, PerWorker, Scrape, label,
};

const OPEN: Metric = Metric::gauge("whimbrel_streams_open", &[], "Open streams of live feeds");
const OPENED: Metric =
    Metric::counter("whimbrel_streams_opened_total", &[], "Streams of live feeds that were opened");
const DELIVERIES: Metric = Metric::counter(
    "whimbrel_deliveries_total",
    &[],
    "Events that were given to streams, each once for each stream",
);
const DELAY: Metric = Metric::histogram(
    "whimbrel_delivery_delay_seconds",
    &[],
    "Time from the beginning of the write of a batch of changes until all live feeds of a worker have them",
);
const LAGS: Metric = Metric::counter(
    "whimbrel_shard_lags_total",
    &[],
    "How often the live feeds of a worker lost a batch, and went back to the log",
);
const REFILLS: Metric = Metric::counter(
    "whimbrel_stream_refills_total",
    &["cause"],
    "How often a stream that was live went back to the log, by why",
);

label! {
    /// Why a stream that was live reads from the log.
    pub(super) enum RefillCause {
        /// Its reader is slower than its feed.
        SlowReader = "slow_reader",
        /// Its shard lost a batch.
        ShardLag = "shard_lag",
    }
}

/// The metrics of live feeds. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LiveMetrics(Arc<PerWorker<LiveCells>>);

#[derive(Debug)]
struct LiveCells {
    opened: Counter,
    deliveries: Counter,
    delay: Histogram,
    lags: Counter,
    refills: Counters<RefillCause>,
}

impl LiveMetrics {
    pub(super) fn new(workers: usize) -> Self {
        let cells = || LiveCells {
            opened: Counter::default(),
            deliveries: Counter::default(),
            delay: Histogram::new(&Buckets::TIME),
            lags: Counter::default(),
            refills: Counters::default(),
        };
        Self(Arc::new(PerWorker::new(workers, cells)))
    }

    pub(super) fn opened(&self) {
        self.0.here().opened.increment();
    }

    /// A stream was given `events`.
    pub(super) fn delivered(&self, events: usize) {
        self.0.here().deliveries.add(events as u64);
    }

    /// All feeds of a shard have a batch whose write began `delay` ago.
    pub(super) fn dispatched(&self, delay: Duration) {
        self.0.here().delay.observe_time(delay);
    }

    /// A shard lost a batch.
    pub(super) fn lagged(&self) {
        self.0.here().lags.increment();
    }

    /// A stream that was live reads from the log.
    pub(super) fn refills(&self, cause: RefillCause) {
        self.0.here().refills.of(cause).increment();
    }
}

impl LiveFeeds {
    /// The number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        (0..self.shards()).map(|shard| self.shard(shard).stream_count()).sum()
    }

    /// Collects the metrics of live feeds.
    pub fn collect(&self, scrape: &mut Scrape) {
        let workers = &*self.metrics().0;
        scrape.count(&OPEN, self.open_streams() as u64);
        scrape.count(&OPENED, workers.sum(|worker| &worker.opened));
        scrape.count(&DELIVERIES, workers.sum(|worker| &worker.deliveries));
        scrape.add(&DELAY, [([], workers.histogram(|worker| &worker.delay))]);
        scrape.count(&LAGS, workers.sum(|worker| &worker.lags));
        scrape.add(&REFILLS, workers.samples(|worker| &worker.refills));
    }
}
