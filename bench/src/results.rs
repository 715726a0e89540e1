//! What a run came to, as it is written to a file and read again. Measures and renders nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::peer::Kind;
use crate::stats::Figure;

/// All of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// When it ended, as RFC 3339 has it.
    pub(crate) date: String,
    /// What makes it again.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// Whether sizes were small: then the figures mean nothing.
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) versions: BTreeMap<Kind, String>,
    /// What was not there, and how to install it.
    pub(crate) skipped: BTreeMap<Kind, String>,
    pub(crate) rows: Vec<Row>,
}

/// What one measurement came to for one system at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) measurement: String,
    pub(crate) system: Kind,
    /// What is varied: calls in flight, followees, watchers, events.
    pub(crate) x: f64,
    /// By names whose endings are their units.
    pub(crate) figures: BTreeMap<String, Figure>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Results {
    /// The row, made if it is not there.
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

    /// The row, if there is one.
    pub(crate) fn row(&self, measurement: &str, system: Kind, x: f64) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(measurement, system, x))
    }

    /// A figure, if it was measured.
    pub(crate) fn figure(
        &self,
        measurement: &str,
        system: Kind,
        x: f64,
        name: &str,
    ) -> Option<&Figure> {
        self.row(measurement, system, x)?.figures.get(name)
    }

    /// The systems that have a row of `measurement`, in order.
    pub(crate) fn systems(&self, measurement: &str) -> Vec<Kind> {
        let rows = self.rows.iter().filter(|row| row.measurement == measurement);
        let systems: std::collections::BTreeSet<Kind> = rows.map(|row| row.system).collect();
        systems.into_iter().collect()
    }

    /// The sizes at which `measurement` was made, rising.
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
