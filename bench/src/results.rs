//! Results of a run, as a file. Never measures or renders.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::machine::Machine;
use crate::peer::Kind;
use crate::stats::Figure;

/// The results of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The end of the run (RFC 3339).
    pub(crate) date: String,
    /// The command line that repeats it.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// Whether the sizes were small: then the figures mean nothing.
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) versions: BTreeMap<Kind, String>,
    /// The systems that were not installed, and how to install them.
    pub(crate) skipped: BTreeMap<Kind, String>,
    pub(crate) rows: Vec<Row>,
    /// Later runs that measured a part again, or added one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) later: Vec<Later>,
}

/// A later run, whose rows are among those of an earlier one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Later {
    /// As those of [`Results`].
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) versions: BTreeMap<Kind, String>,
    /// Its measurements, by the names in its rows.
    pub(crate) measurements: BTreeSet<String>,
}

/// The figures of one measurement of one system at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) measurement: String,
    pub(crate) system: Kind,
    /// The size: calls in flight, followees, watchers or events.
    pub(crate) x: f64,
    /// The figures by name. A name ends with its unit.
    pub(crate) figures: BTreeMap<String, Figure>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Results {
    /// These results with those of a `later` run. Its measurements replace these for all systems;
    /// all others stay.
    pub(crate) fn with(mut self, later: Self) -> Result<Self, Error> {
        if self.quick != later.quick {
            let why = "a quick run's results and those of a full one cannot stand side by side";
            return Err(Error::Failed(why.to_owned()));
        }
        let measurements: BTreeSet<String> =
            later.rows.iter().map(|row| row.measurement.clone()).collect();
        self.rows.retain(|row| !measurements.contains(&row.measurement));
        for earlier in &mut self.later {
            earlier.measurements.retain(|measurement| !measurements.contains(measurement));
        }
        self.later.retain(|earlier| !earlier.measurements.is_empty());
        self.rows.extend(later.rows);
        self.later.push(Later {
            date: later.date,
            command: later.command,
            machine: later.machine,
            rounds: later.rounds,
            seconds: later.seconds,
            versions: later.versions,
            measurements,
        });
        Ok(self)
    }

    /// The row, which is added if it is missing.
    pub(crate) fn row_mut(&mut self, measurement: &str, system: Kind, x: f64) -> &mut Row {
        let found = self.rows.iter().position(|row| row.is(measurement, system, x));
        let at = found.unwrap_or_else(|| {
            self.rows.push(Row {
                measurement: measurement.to_owned(),
                system,
                x,
                figures: BTreeMap::new(),
                note: None,
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// The row; `None` if there is none.
    pub(crate) fn row(&self, measurement: &str, system: Kind, x: f64) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(measurement, system, x))
    }

    /// A figure; `None` if it was not measured.
    pub(crate) fn figure(
        &self,
        measurement: &str,
        system: Kind,
        x: f64,
        name: &str,
    ) -> Option<&Figure> {
        self.row(measurement, system, x)?.figures.get(name)
    }

    /// The systems with a row of `measurement`, in order.
    pub(crate) fn systems(&self, measurement: &str) -> Vec<Kind> {
        let rows = self.rows.iter().filter(|row| row.measurement == measurement);
        let systems: BTreeSet<Kind> = rows.map(|row| row.system).collect();
        systems.into_iter().collect()
    }

    /// The sizes of `measurement`, rising.
    pub(crate) fn sizes(&self, measurement: &str) -> Vec<f64> {
        let rows = self.rows.iter().filter(|row| row.measurement == measurement);
        let mut sizes: Vec<f64> = rows.map(|row| row.x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        sizes
    }
}

impl Row {
    fn is(&self, measurement: &str, system: Kind, x: f64) -> bool {
        self.measurement == measurement && self.system == system && self.x == x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(date: &str, rows: &[(&str, Kind, f64)]) -> Results {
        let mut results = Results { date: date.to_owned(), ..Results::default() };
        for (measurement, kind, value) in rows {
            let row = results.row_mut(measurement, *kind, 64.0);
            row.figures.entry("per_s".to_owned()).or_default().push(*value);
        }
        results
    }

    /// The aim: a later run replaces its measurements for all systems and keeps the others, and the
    /// results show the run of each, also after another run.
    #[test]
    fn a_later_run_replaces_what_it_measured() {
        let old = run(
            "monday",
            &[
                ("feed", Kind::Whimbrel, 1.0),
                ("publish", Kind::Whimbrel, 2.0),
                ("publish", Kind::Redis, 3.0),
            ],
        );
        let new = [("publish", Kind::Whimbrel, 4.0), ("mixed", Kind::Whimbrel, 5.0)];
        let merged = old.with(run("tuesday", &new)).unwrap();
        let figure = |results: &Results, measurement, kind| {
            results.figure(measurement, kind, 64.0, "per_s").map(|figure| figure.median)
        };
        assert_eq!(figure(&merged, "feed", Kind::Whimbrel), Some(1.0));
        assert_eq!(figure(&merged, "publish", Kind::Whimbrel), Some(4.0));
        assert_eq!(figure(&merged, "publish", Kind::Redis), None);
        assert_eq!(merged.date, "monday");

        let last = merged.with(run("friday", &[("mixed", Kind::Whimbrel, 6.0)])).unwrap();
        assert_eq!(figure(&last, "mixed", Kind::Whimbrel), Some(6.0));
        let later: Vec<_> = last
            .later
            .iter()
            .map(|later| (&*later.date, later.measurements.iter().cloned().collect::<Vec<_>>()))
            .collect();
        let expected =
            [("tuesday", vec!["publish".to_owned()]), ("friday", vec!["mixed".to_owned()])];
        assert_eq!(later, expected);
    }

    /// The aim: figures of a quick run are never mixed with others.
    #[test]
    fn quick_figures_stay_apart() {
        let quick = Results { quick: true, ..Results::default() };
        assert!(Results::default().with(quick).is_err());
    }
}
