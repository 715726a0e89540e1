//! Whether a figure differs between two builds, by rounds in which both were measured one right
//! after the other. Never measures, and never decides by one round.
//!
//! ```text
//!   base   100 ─▶  98 ─▶ 103 ─▶  99 ─▶ 101      from round to round: noise, each build by itself
//!           │      │      │      │      │       within a round: the change
//!   now    112 ─▶ 108 ─▶ 110 ─▶ 113 ─▶ 109
//! ```
//!
//! **The rule:** a figure has changed if all rounds point one way, of seven or more all but one, and the
//! median of the rounds' ratios is farther from 1 than 1 % and than 3 × what a build typically differs
//! from itself between two successive rounds. A comparison has some thirty figures: so the rule has to
//! be right about one of them far more often than about all.

use crate::stats::median;

/// Fewer rounds say nothing: of three, chance alone has two or three point one way.
pub(crate) const ROUNDS_MIN: usize = 5;
/// From so many rounds on, one may point the other way: the machine is not quiet.
const ROUNDS_WITH_A_CONTRARY: usize = 7;
/// Multiple of a build's typical difference from itself. With it the rule calls less than 1 of 100
/// unchanged figures changed with five rounds, and less than 1 of 200 with seven, as the tests below
/// show.
const NOISE_FACTOR: f64 = 3.0;
/// A smaller change may come from where the linker puts the code.
const CHANGE_MIN: f64 = 0.01;

/// The direction in which a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// The result of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    WithinNoise,
    TooFewRounds,
}

/// A figure of two builds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// The median of the ratios of now to base, round by round.
    pub(crate) ratio: f64,
    /// The ratio that noise alone may come to, upwards; at least 1.
    pub(crate) noise: f64,
    /// The rounds that count.
    pub(crate) rounds: usize,
    pub(crate) verdict: Verdict,
}

/// Compares the figures of `base` and `now`, which have one value for each round. Rounds with a
/// value that is not positive do not count: they have no ratio.
pub(crate) fn compare(base: &[f64], now: &[f64], better: Better) -> Comparison {
    let rounds = base.iter().zip(now).filter(|(base, now)| **base > 0.0 && **now > 0.0);
    // Logarithms: twice as much and half as much are equally far from no change.
    let (base, now): (Vec<f64>, Vec<f64>) = rounds.map(|(base, now)| (base.ln(), now.ln())).unzip();
    let changes: Vec<f64> = now.iter().zip(&base).map(|(now, base)| now - base).collect();
    let change = median(&changes);
    let itself: Vec<f64> =
        [&base, &now].into_iter().flat_map(|build| build.windows(2)).map(step).collect();
    let noise = (NOISE_FACTOR * median(&itself)).max(CHANGE_MIN.ln_1p());
    let contrary = changes.iter().filter(|it| **it * change <= 0.0).count();
    let rounds = changes.len();
    let contrary_max = usize::from(rounds >= ROUNDS_WITH_A_CONTRARY);
    let verdict = if rounds < ROUNDS_MIN {
        Verdict::TooFewRounds
    } else if contrary > contrary_max || change.abs() <= noise {
        Verdict::WithinNoise
    } else if (change > 0.0) == (better == Better::Higher) {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    Comparison { ratio: change.exp(), noise: noise.exp(), rounds, verdict }
}

fn step(rounds: &[f64]) -> f64 {
    (rounds[1] - rounds[0]).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The disturbances of a machine, each of a figure by some 2 %.
    const MACHINES: [fn(&mut Noise) -> f64; 3] = [Noise::steady, Noise::bursts, Noise::drift];
    const SERIES: u32 = 2_000;

    /// Noise that is the same in every run of the tests.
    struct Noise {
        random: fastrand::Rng,
        level: f64,
    }

    impl Noise {
        /// Some 2 % around nothing, in the form of a bell.
        fn steady(&mut self) -> f64 {
            let twelve: f64 = (0..12).map(|_| self.random.f64()).sum();
            (twelve - 6.0) * 0.02
        }

        /// In addition, one value of ten is a third greater.
        fn bursts(&mut self) -> f64 {
            let burst = if self.random.u8(..10) == 0 { 0.3 } else { 0.0 };
            self.steady() + burst
        }

        /// Each value starts from the one before it.
        fn drift(&mut self) -> f64 {
            self.level += self.steady();
            self.level
        }
    }

    /// The part of many series that the rule calls changed, if now is `factor` × base.
    fn changed(machine: fn(&mut Noise) -> f64, rounds: usize, factor: f64) -> f64 {
        let mut noise = Noise { random: fastrand::Rng::with_seed(1), level: 0.0 };
        let mut found = 0;
        for _ in 0..SERIES {
            let (mut base, mut now) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                let mut turns = [machine(&mut noise).exp(), machine(&mut noise).exp()];
                if round % 2 == 1 {
                    turns.reverse();
                }
                base.push(100.0 * turns[0]);
                now.push(100.0 * factor * turns[1]);
            }
            let verdict = compare(&base, &now, Better::Higher).verdict;
            found += u32::from(matches!(verdict, Verdict::Better | Verdict::Worse));
        }
        f64::from(found) / f64::from(SERIES)
    }

    /// The aim: noise alone is hardly ever called a change, whatever its form.
    #[test]
    fn noise_alone_is_no_change() {
        for machine in MACHINES {
            for (rounds, part_max) in [(5, 0.01), (7, 0.005), (9, 0.005)] {
                let part = changed(machine, rounds, 1.0);
                assert!(part <= part_max, "{part} of {rounds} rounds");
            }
        }
    }

    /// The aim: a change of five times the noise is found, up or down, also if the machine has
    /// bursts in which a figure is of no use.
    #[test]
    fn a_change_beyond_noise_is_found() {
        for factor in [1.12, 1.0 / 1.12] {
            assert!(changed(Noise::steady, 5, factor) >= 0.95);
            assert!(changed(Noise::drift, 5, factor) >= 0.95);
            assert!(changed(Noise::bursts, 9, factor) >= 0.70);
        }
    }

    /// The aim: what is better depends on the figure, and the ratio is that of now to base.
    #[test]
    fn a_rate_should_rise_and_a_time_fall() {
        let (base, now) = ([100.0, 98.0, 103.0, 99.0, 101.0], [120.0, 118.0, 121.0, 119.0, 122.0]);
        let rate = compare(&base, &now, Better::Higher);
        assert_eq!(rate.verdict, Verdict::Better);
        assert!((rate.ratio - 1.2).abs() < 0.01 && rate.noise > 1.01, "{rate:?}");
        assert_eq!(compare(&base, &now, Better::Lower).verdict, Verdict::Worse);
        assert_eq!(compare(&now, &base, Better::Lower).verdict, Verdict::Better);
    }

    /// The aim: of seven rounds one may point the other way, two may not, and of five none.
    #[test]
    fn contrary_rounds_are_no_change() {
        let of = |now: &[f64]| compare(&vec![100.0; now.len()], now, Better::Higher).verdict;
        let one = [120.0, 121.0, 99.0, 120.0, 122.0, 120.0, 121.0];
        let two = [120.0, 121.0, 99.0, 98.0, 122.0, 120.0, 121.0];
        assert_eq!(of(&one), Verdict::Better);
        assert_eq!(of(&two), Verdict::WithinNoise);
        assert_eq!(of(&one[..5]), Verdict::WithinNoise);
        assert_eq!(of(&[120.0, 121.0, 101.0, 120.0, 122.0]), Verdict::Better);
    }

    /// The aim: a figure that never varies has changed only by more than the least change.
    #[test]
    fn a_figure_without_noise_needs_the_least_change() {
        let of = |now: f64| compare(&[100.0; 5], &[now; 5], Better::Lower).verdict;
        assert_eq!(of(100.0), Verdict::WithinNoise);
        assert_eq!(of(100.9), Verdict::WithinNoise);
        assert_eq!(of(101.1), Verdict::Worse);
        assert_eq!(of(98.9), Verdict::Better);
    }

    /// The aim: too few rounds, and rounds without a ratio, give no verdict.
    #[test]
    fn too_few_rounds_are_no_verdict() {
        let few = compare(&[1.0; 4], &[2.0; 4], Better::Higher);
        assert_eq!(few.verdict, Verdict::TooFewRounds);
        let without = compare(&[1.0, 1.0, 0.0, 1.0, 1.0], &[2.0; 5], Better::Higher);
        assert_eq!((without.verdict, without.rounds), (Verdict::TooFewRounds, 4));
        assert_eq!(compare(&[], &[], Better::Higher).verdict, Verdict::TooFewRounds);
    }
}
