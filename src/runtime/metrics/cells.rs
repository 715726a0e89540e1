//! The cells that count. To count is one or two atomic additions, and never a lock.
//!
//! What workers count often is in a [`PerWorker`]: a set of cells for each, on cache lines of its own,
//! which a scrape sums. Otherwise each addition would fetch the line from another core.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::MetricValue;
use crate::runtime::current_shard;

/// Most bounds of a histogram: more would tell nobody more, and each is a series.
const BOUNDS_MAX: usize = 20;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A label whose values are the variants of an enum.
pub trait Label: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The place of the value in [`Label::ALL`].
    fn index(self) -> usize;

    /// The value as text.
    fn name(self) -> &'static str;
}

/// An enum that is a [`Label`], with the text of each variant.
macro_rules! label {
    (
        $(#[$doc:meta])*
        $vis:vis enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $text:literal),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$of_variant])* $variant),*
        }

        impl $crate::runtime::metrics::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

pub(crate) use label;

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L>(Box<[Counter]>, PhantomData<fn(L)>);

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self(L::ALL.iter().map(|_| Counter::default()).collect(), PhantomData)
    }
}

impl<L: Label> Counters<L> {
    /// The counter of `label`.
    pub fn of(&self, label: L) -> &Counter {
        &self.0[label.index()]
    }

    /// All values of the label with their numbers, also those that are zero.
    pub fn samples(&self) -> impl Iterator<Item = ([String; 1], MetricValue)> + '_ {
        L::ALL
            .iter()
            .map(|&label| ([label.name().to_owned()], MetricValue::count(self.of(label).get())))
    }
}

/// The upper bounds of a histogram, and the unit in which values are observed.
#[derive(Debug)]
pub struct Buckets {
    bounds: &'static [u64],
    /// Of how many base units one observed unit is.
    unit: f64,
}

impl Buckets {
    /// From 50 µs, a read from memory, to 10 s, the longest call: about three in each tenfold.
    pub const TIME: Self = Self {
        bounds: &[
            50_000,
            100_000,
            250_000,
            500_000,
            1_000_000,
            2_500_000,
            5_000_000,
            10_000_000,
            25_000_000,
            50_000_000,
            100_000_000,
            250_000_000,
            500_000_000,
            1_000_000_000,
            2_500_000_000,
            5_000_000_000,
            10_000_000_000,
        ],
        unit: 1e-9,
    };
    /// Powers of two, for numbers of things.
    pub const COUNT: Self =
        Self { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096], unit: 1.0 };
}

const _: () = assert!(Buckets::TIME.bounds.len() <= BOUNDS_MAX, "a cell for each bound");
const _: () = assert!(Buckets::COUNT.bounds.len() <= BOUNDS_MAX, "a cell for each bound");

/// How often values were within each bound. Has its cache lines for itself.
#[derive(Debug)]
#[repr(align(64))]
pub struct Histogram {
    buckets: &'static Buckets,
    /// By bound; the last one in use is of values above all.
    counts: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing was observed yet.
    #[must_use]
    pub fn new(buckets: &'static Buckets) -> Self {
        Self { buckets, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Observes a number.
    pub fn observe(&self, value: u64) {
        let bucket = self.buckets.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Observes a time.
    pub fn observe_time(&self, time: Duration) {
        // 2⁶⁴ ns are 584 years: no process lasts as long.
        self.observe(time.as_nanos() as u64);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The value as a sample.
    #[must_use]
    pub fn value(&self) -> MetricValue {
        Self::sum_of([self])
    }

    /// The sum of `histograms`, which have the same buckets.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn sum_of<'a>(histograms: impl IntoIterator<Item = &'a Self>) -> MetricValue {
        let mut histograms = histograms.into_iter().peekable();
        let Some(first) = histograms.peek() else { unreachable!("a sum of no histograms") };
        let Buckets { bounds, unit } = first.buckets;
        let mut counts = vec![0; bounds.len() + 1];
        let mut sum = 0;
        for histogram in histograms {
            debug_assert_eq!(histogram.buckets.bounds, *bounds, "the same buckets");
            for (count, more) in counts.iter_mut().zip(&histogram.counts) {
                *count += more.load(Ordering::Relaxed);
            }
            sum += histogram.sum.load(Ordering::Relaxed);
        }
        let bounds = bounds.iter().map(|&bound| bound as f64 * unit).chain([f64::INFINITY]);
        MetricValue::Buckets { sum: sum as f64 * unit, counts: bounds.zip(counts).collect() }
    }
}

/// A set of cells for each worker, and one for all other threads.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[OwnLines<T>]>);

/// Has its cache lines for itself: two, as processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLines<T>(T);

impl<T> PerWorker<T> {
    /// A set by `make` for each of `workers`, and one more.
    pub fn new(workers: usize, make: impl Fn() -> T) -> Self {
        Self((0..=workers).map(|_| OwnLines(make())).collect())
    }

    /// The set of the calling thread.
    pub fn here(&self) -> &T {
        // A test may make fewer sets than its process has workers.
        &self.0[Some(current_shard()).filter(|&shard| shard < self.0.len()).unwrap_or(0)].0
    }

    /// All sets, that of other threads first.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|set| &set.0)
    }

    /// The sum of a counter over all sets.
    pub fn sum(&self, of: impl Fn(&T) -> &Counter) -> u64 {
        self.all().map(|set| of(set).get()).sum()
    }

    /// The sum of a histogram over all sets.
    pub fn histogram(&self, of: impl Fn(&T) -> &Histogram) -> MetricValue {
        Histogram::sum_of(self.all().map(of))
    }

    /// The sums of counters by label over all sets.
    pub fn samples<'a, L: Label>(
        &'a self,
        of: impl Fn(&T) -> &Counters<L> + 'a,
    ) -> impl Iterator<Item = ([String; 1], MetricValue)> + 'a {
        L::ALL.iter().map(move |&label| {
            let sum = self.sum(|set| of(set).of(label));
            ([label.name().to_owned()], MetricValue::count(sum))
        })
    }
}
