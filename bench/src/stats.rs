//! Statistics: medians, spreads, and quantiles of latencies. Never measures.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is recorded, in ns. Longer ones count as this.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// A figure, with its values of all rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The values in the order of measuring.
    pub(crate) rounds: Vec<f64>,
}

impl Figure {
    /// Adds the value of the next round.
    pub(crate) fn push(&mut self, value: f64) {
        self.rounds.push(value);
        self.median = median(&self.rounds);
        self.min = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        self.max = self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    }

    /// The median of the ratios to `other`, round by round: two rounds in turn had the same load of
    /// the machine.
    pub(crate) fn ratio(&self, other: &Self) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> =
            pairs.filter(|(_, other)| **other > 0.0).map(|(own, other)| own / other).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }
}

/// The median; the mean of the two middle numbers if their count is even; 0 without numbers.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[upper],
        _ => f64::midpoint(sorted[upper - 1], sorted[upper]),
    }
}

/// Latencies, as a histogram.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    #[expect(clippy::expect_used, reason = "it takes these bounds, which are constants")]
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("bounds that it takes"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: an outlier changes the spread, but not the figure.
    #[test]
    fn a_figure_is_the_median_of_its_rounds() {
        let mut figure = Figure::default();
        [3.0, 1.0, 100.0].into_iter().for_each(|round| figure.push(round));
        assert_eq!((figure.median, figure.min, figure.max), (3.0, 1.0, 100.0));
        figure.push(5.0);
        assert_eq!(figure.median, 4.0);
        assert_eq!(median(&[]), 0.0);
    }

    /// The aim: a machine that is half as fast in one round does not change a ratio of figures.
    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let figure = |rounds: [f64; 3]| {
            let mut figure = Figure::default();
            rounds.into_iter().for_each(|round| figure.push(round));
            figure
        };
        let (own, floor) = (figure([80.0, 40.0, 84.0]), figure([100.0, 50.0, 100.0]));
        assert_eq!(own.ratio(&floor), Some(0.8));
        assert_eq!(own.ratio(&Figure::default()), None);
    }

    /// The aim: quantiles are in microseconds, exact to a thousandth.
    #[test]
    fn quantiles_are_in_microseconds() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|us| latencies.record(Duration::from_micros(us)));
        assert!((latencies.quantile_us(0.5) - 50.0).abs() < 0.1);
        assert!((latencies.quantile_us(0.99) - 99.0).abs() < 0.2);
        assert_eq!(latencies.len(), 100);
    }
}
