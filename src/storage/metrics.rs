//! The metrics of what is on the disk: all of it is kept anyway, and read at a scrape. Counts nothing.

use super::{Index, Log};
use crate::model::Revision;
use crate::runtime::metrics::{Metric, Scrape};

const HEAD: Metric =
    Metric::gauge("whimbrel_log_head_revision", &[], "The newest revision that is durable");
const BYTES: Metric =
    Metric::gauge("whimbrel_log_bytes", &[], "Bytes of the segments of the log that have events");
const SEGMENTS: Metric =
    Metric::gauge("whimbrel_log_segments", &[], "Segments of the log that have events");
const FREE: Metric = Metric::gauge(
    "whimbrel_disk_free_bytes",
    &[],
    "Bytes that may still be written to the disk of the log; changes are refused below --disk-free-min",
);
const INDEXED: Metric = Metric::gauge(
    "whimbrel_index_revision",
    &[],
    "The revision up to which the index has all events",
);
const LAG: Metric = Metric::gauge(
    "whimbrel_index_lag_revisions",
    &[],
    "Events that are applied and not in the index, of which each takes memory",
);
const USABLE: Metric = Metric::gauge(
    "whimbrel_index_usable",
    &[],
    "Whether the index can be read: 1, or 0 while it is lost and being repaired",
);

const TERM: Metric = Metric::gauge(
    "whimbrel_store_term",
    &[],
    "The newest term of a log in PostgreSQL that this node knows; an append whose outcome was not known begins one",
);
const BARRIERS: Metric = Metric::counter(
    "whimbrel_store_barriers_total",
    &[],
    "Writes to PostgreSQL that append nothing, and say that what was read, or decided by, is the newest",
);
const REACHED: Metric = Metric::gauge(
    "whimbrel_store_reached",
    &[],
    "Whether PostgreSQL answered when it was last asked: 1, or 0 while changes wait for it",
);

/// Collects the metrics of `log` and `index`; events up to `applied` are applied.
pub(crate) fn collect(
    log: &dyn Log,
    index: Option<&Index>,
    applied: Revision,
    scrape: &mut Scrape,
) {
    scrape.count(&HEAD, log.head().get());
    let size = log.size();
    scrape.maybe(&BYTES, size.map(|size| size.bytes as f64));
    scrape.maybe(&SEGMENTS, size.map(|size| size.segments as f64));
    scrape.maybe(&FREE, size.and_then(|size| size.free_bytes).map(|bytes| bytes as f64));
    let indexed = index.map(|index| index.complete_until().get());
    scrape.maybe(&INDEXED, indexed.map(|indexed| indexed as f64));
    // The index may have been written since `applied` was read.
    let lag = indexed.map(|indexed| applied.get().saturating_sub(indexed) as f64);
    scrape.maybe(&LAG, lag);
    let store = log.store_state();
    scrape.maybe(&TERM, store.map(|store| store.term as f64));
    scrape.maybe(&BARRIERS, store.map(|store| store.barriers as f64));
    scrape.maybe(&REACHED, store.map(|store| if store.is_reached { 1.0 } else { 0.0 }));
    let usable = index.map(|index| if index.loss().is_none() { 1.0 } else { 0.0 });
    scrape.maybe(&USABLE, usable);
}
