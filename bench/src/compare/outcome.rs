//! What a comparison came to: its text, and whether something is worse. Never measures.

use super::table::{Table, table};
use crate::error::Error;
use crate::results::{Results, Row};

/// Figures that count faults: any is reported, whatever the noise.
const FAULTS: [&str; 2] = ["lost", "incomplete"];

/// The outcome of a comparison.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The table, and below it what changed and what failed.
    pub(super) text: String,
    /// The figures of the second build that are worse beyond noise, and its faults.
    worse: Vec<String>,
}

impl Outcome {
    /// The outcome of the results and faults of the base and of the build that is compared with it.
    pub(super) fn new([base, now]: [&Results; 2], faults: &[Vec<String>; 2], quick: bool) -> Self {
        let Table { mut text, better, mut worse, is_open } = table(base, now);
        if quick {
            text += "These sizes are small, to test the comparison: the figures mean nothing.\n";
        }
        let [base_faults, now_faults] = faults.each_ref().map(|faults| each_once(faults));
        for (name, faults) in [("base", &base_faults), ("now", &now_faults)] {
            faults.iter().for_each(|fault| text += &format!("{name} failed: {fault}\n"));
        }
        for (change, names) in [("Better", &better), ("Worse", &worse)] {
            if !names.is_empty() {
                text += &format!("{change}: {}.\n", names.join("; "));
            }
        }
        if is_open {
            text += "No figure has enough rounds for a verdict.\n";
        } else if better.is_empty() && worse.is_empty() {
            text += "Nothing changed beyond noise.\n";
        }
        worse.extend(now_faults);
        Self { text, worse }
    }

    /// # Errors
    /// Something is worse, was lost or was not measured.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &*self.worse {
            [] => Ok(()),
            worse => Err(Error::Failed(format!("worse than the base: {}", worse.join("; ")))),
        }
    }
}

/// What failed or was lost in a round of a build.
pub(super) fn faults(measured: &Results) -> Vec<String> {
    let fault = |row: &Row| {
        let lost = FAULTS.iter().find_map(|name| {
            let count = row.figures.get(*name)?.max;
            (count > 0.0).then(|| format!("{count} {name}"))
        });
        let what = row.note.clone().or(lost)?;
        // A measurement that did not begin has no size.
        let size = if row.x > 0.0 { format!(" {}", row.x) } else { String::new() };
        Some(format!("{}{size}: {what}", row.measurement))
    };
    measured.rows.iter().filter_map(fault).collect()
}

/// `faults` without repeats, which come from later rounds.
fn each_once(faults: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for fault in faults {
        if !once.contains(fault) {
            once.push(fault.clone());
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Kind;

    const STEADY: [f64; 5] = [1_000.0, 1_010.0, 990.0, 1_005.0, 995.0];

    /// Results of publishing at this multiple of the same noisy rate.
    fn publishing(factor: f64, rounds: usize) -> Results {
        let mut results = Results::default();
        let row = results.row_mut("publish", Kind::Whimbrel, 64.0);
        let figure = row.figures.entry("per_s".to_owned()).or_default();
        STEADY[..rounds].iter().for_each(|rate| figure.push(rate * factor));
        results
    }

    fn compared(factor: f64, faults: [&[&str]; 2]) -> Outcome {
        let faults = faults.map(|of| of.iter().map(|&fault| fault.to_owned()).collect());
        Outcome::new([&publishing(1.0, 5), &publishing(factor, 5)], &faults, false)
    }

    /// The aim: only what is worse beyond noise fails a comparison, and the error names it.
    #[test]
    fn only_what_is_worse_fails() {
        for (factor, last_line, is_worse) in [
            (1.0, "Nothing changed beyond noise.", false),
            (1.02, "Nothing changed beyond noise.", false),
            (0.98, "Nothing changed beyond noise.", false),
            (1.2, "Better: publish, 64 in flight, a second.", false),
            (0.8, "Worse: publish, 64 in flight, a second.", true),
        ] {
            let outcome = compared(factor, [&[], &[]]);
            assert_eq!(outcome.text.lines().next_back(), Some(last_line));
            let error = outcome.check().err().map(|error| error.to_string());
            let expected = "worse than the base: publish, 64 in flight, a second".to_owned();
            assert_eq!(error, is_worse.then_some(expected), "{factor} ×");
        }
    }

    /// The aim: a fault of the compared build fails the comparison, one of the base does not, and each
    /// is shown once.
    #[test]
    fn faults_of_the_compared_build_fail() {
        let lost = ["fan_out_own 50: 3 lost", "feed: it does not start", "fan_out_own 50: 3 lost"];
        let outcome = compared(1.0, [&lost, &[]]);
        assert_eq!(outcome.text.matches("base failed: fan_out_own 50: 3 lost\n").count(), 1);
        assert!(outcome.text.contains("base failed: feed: it does not start\n"));
        outcome.check().unwrap();
        let outcome = compared(1.2, [&[], &lost]);
        assert_eq!(outcome.text.matches("now failed: fan_out_own 50: 3 lost\n").count(), 1);
        let error = outcome.check().unwrap_err().to_string();
        let expected =
            "worse than the base: fan_out_own 50: 3 lost; feed: it does not start".to_owned();
        assert_eq!(error, expected);
    }

    /// The aim: what was lost, or not measured, is a fault; what has other figures is not.
    #[test]
    fn losses_and_errors_are_faults() {
        let mut measured = publishing(1.0, 5);
        assert_eq!(faults(&measured), Vec::<String>::new());
        let row = measured.row_mut("fan_out_own", Kind::Whimbrel, 50.0);
        row.figures.entry("lost".to_owned()).or_default().push(0.0);
        assert_eq!(faults(&measured), Vec::<String>::new());
        let row = measured.row_mut("fan_out_own", Kind::Whimbrel, 50.0);
        row.figures.entry("lost".to_owned()).or_default().push(3.0);
        measured.row_mut("feed", Kind::Whimbrel, 0.0).note = Some("it does not start".to_owned());
        assert_eq!(faults(&measured), ["fan_out_own 50: 3 lost", "feed: it does not start"]);
    }

    /// The aim: without enough rounds nothing is called unchanged.
    #[test]
    fn too_few_rounds_are_no_outcome() {
        let few = [&publishing(1.0, 4), &publishing(0.5, 4)];
        let outcome = Outcome::new(few, &[Vec::new(), Vec::new()], true);
        assert!(outcome.text.contains("the figures mean nothing"));
        assert!(outcome.text.ends_with("No figure has enough rounds for a verdict.\n"));
        outcome.check().unwrap();
    }
}
