//! The metrics of queries: which memory answers, which need the disk, and how long those wait for their
//! turn.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::metrics::{
    Buckets, Counter, Histogram, Metric, MetricValue, PerWorker, Scrape,
};

const QUERIES: Metric = Metric::counter(
    "whimbrel_queries_total",
    &["source"],
    "Queries that were answered, by whether memory had all or the disk was read",
);
const WAIT: Metric = Metric::histogram(
    "whimbrel_disk_read_wait_seconds",
    &[],
    "Time that queries waited for their turn to read the disk",
);
const READ: Metric = Metric::histogram(
    "whimbrel_disk_read_duration_seconds",
    &[],
    "Time that queries took on a thread that may read the disk",
);
const READING: Metric =
    Metric::gauge("whimbrel_disk_reads_running", &[], "Queries that have a turn to read the disk");
const WAITING: Metric = Metric::gauge(
    "whimbrel_disk_reads_waiting",
    &["of"],
    "Queries that wait for a turn to read the disk, of calls and of streams",
);
const REFUSED: Metric = Metric::counter(
    "whimbrel_disk_reads_refused_total",
    &[],
    "Queries that were refused because too many of their caller waited",
);

/// The metrics of queries. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct QueryMetrics(Arc<PerWorker<QueryCells>>);

#[derive(Debug)]
struct QueryCells {
    memory: Counter,
    refused: Counter,
    wait: Histogram,
    read: Histogram,
}

/// The queries that have a turn, and that wait for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnUse {
    pub(super) running: usize,
    pub(super) waiting_calls: usize,
    pub(super) waiting_streams: usize,
}

impl QueryMetrics {
    pub(super) fn new(workers: usize) -> Self {
        let cells = || QueryCells {
            memory: Counter::default(),
            refused: Counter::default(),
            wait: Histogram::new(&Buckets::TIME),
            read: Histogram::new(&Buckets::TIME),
        };
        Self(Arc::new(PerWorker::new(workers, cells)))
    }

    /// Memory had all of an answer.
    pub(super) fn answered_by_memory(&self) {
        self.0.here().memory.increment();
    }

    /// A query had its turn after `wait`.
    pub(super) fn waited(&self, wait: Duration) {
        self.0.here().wait.observe_time(wait);
    }

    /// Too many of its caller waited.
    pub(super) fn refused(&self) {
        self.0.here().refused.increment();
    }

    /// A query was answered on a thread that may read the disk.
    pub(super) fn read(&self, time: Duration) {
        self.0.here().read.observe_time(time);
    }

    pub(super) fn collect(&self, turns: TurnUse, scrape: &mut Scrape) {
        let workers = &*self.0;
        let disk: u64 = workers.all().map(|worker| worker.read.count()).sum();
        let memory = workers.sum(|worker| &worker.memory);
        let sample = |label: &str, count: u64| ([label.to_owned()], MetricValue::count(count));
        scrape.add(&QUERIES, [sample("memory", memory), sample("disk", disk)]);
        scrape.add(&WAIT, [([], workers.histogram(|worker| &worker.wait))]);
        scrape.add(&READ, [([], workers.histogram(|worker| &worker.read))]);
        scrape.count(&READING, turns.running as u64);
        let waiting = [
            sample("calls", turns.waiting_calls as u64),
            sample("streams", turns.waiting_streams as u64),
        ];
        scrape.add(&WAITING, waiting);
        scrape.count(&REFUSED, workers.sum(|worker| &worker.refused));
    }
}
