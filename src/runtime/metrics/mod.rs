//! What all metrics share: how one is described, the cells that count, and what a scrape collects. Each
//! area describes and owns its metrics in its own `metrics.rs`.
//!
//! ```text
//!   workers ──▶ cells, one set for each worker ──┐
//!   numbers that the code keeps anyway ──────────┴─ collect ──▶ Scrape ──▶ text
//! ```
//!
//! Nothing here is global but what is of the [`Process`]: tests run many servers in one. A label has a value of an enum or of
//! a table in the code, and never one that a client sends.

mod cells;
mod process;
mod text;

pub(crate) use cells::label;
pub use cells::{Buckets, Counter, Counters, Histogram, Label, PerWorker};
pub use process::Process;
pub use text::{Format, encode};

/// The description of a metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its full name: with the unit, and `_total` if it is a counter.
    pub name: &'static str,
    /// How its values are to be read.
    pub kind: Kind,
    /// The names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
    /// What it counts or measures: one sentence without a full stop.
    pub help: &'static str,
}

/// How the values of a metric are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from zero at the start.
    Counter,
    /// A value of this moment.
    Gauge,
    /// How often values were within each bound.
    Histogram,
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram, labels, help }
    }
}

/// What was collected, metric by metric.
#[derive(Debug, Default)]
pub struct Scrape(Vec<Family>);

/// All samples of a metric.
#[derive(Debug)]
pub struct Family {
    /// The metric.
    pub metric: &'static Metric,
    /// At most one for each combination of labels.
    pub samples: Vec<Sample>,
}

/// A value of a metric.
#[derive(Debug)]
pub struct Sample {
    /// The values of its labels, in the order of their names.
    pub labels: Vec<String>,
    /// The value.
    pub value: MetricValue,
}

/// The value of a sample.
#[derive(Debug, PartialEq)]
pub enum MetricValue {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Buckets {
        /// The sum of all values.
        sum: f64,
        /// Each upper bound, the last one infinite, and how many values are within it and not within the
        /// one before.
        counts: Vec<(f64, u64)>,
    },
}

impl MetricValue {
    /// A number that may be too large to be exact.
    #[must_use]
    pub fn count(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl Scrape {
    /// Adds a metric without labels.
    pub fn number(&mut self, metric: &'static Metric, value: f64) {
        self.add(metric, [([], MetricValue::Number(value))]);
    }

    /// Adds a metric without labels, of a number that is counted.
    pub fn count(&mut self, metric: &'static Metric, value: u64) {
        self.add(metric, [([], MetricValue::count(value))]);
    }

    /// Adds a metric without labels, whose value may not be known.
    pub fn maybe(&mut self, metric: &'static Metric, value: Option<f64>) {
        self.add(metric, value.map(|value| ([], MetricValue::Number(value))));
    }

    /// Adds the samples of a metric, with their labels. Also of one without samples: then a scrape shows
    /// that there is such a metric.
    ///
    /// # Panics
    /// The metric was added before, or a sample has not its number of labels.
    pub fn add<const N: usize>(
        &mut self,
        metric: &'static Metric,
        samples: impl IntoIterator<Item = ([String; N], MetricValue)>,
    ) {
        assert_eq!(N, metric.labels.len(), "the labels of {}", metric.name);
        assert!(
            self.0.iter().all(|other| other.metric.name != metric.name),
            "{} is added twice",
            metric.name
        );
        let sample =
            |(labels, value): ([String; N], MetricValue)| Sample { labels: labels.into(), value };
        self.0.push(Family { metric, samples: samples.into_iter().map(sample).collect() });
    }

    /// What was collected.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.0
    }
}
