//! The rows of the table: a line for people, an object for machines. Never measures.

use serde::Serialize;

use super::Measurement;
use crate::cli::json::JsonLine;
use crate::cli::{Error, Output, number};

/// The result of one measurement. Figures that it does not have are `None`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TableRow {
    pub(super) name: Measurement,
    /// The setting of the measurement, for people.
    #[serde(skip)]
    pub(super) what: String,
    /// Only if a measurement is repeated with another setting than the usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_flight: Option<u64>,
    /// Calls, posts or deliveries per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_us: Option<f64>,
    /// The rate divided by the floor's; of calls made one at a time, the same of the median
    /// latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor_ratio: Option<f64>,
    /// Number of deliveries that were missing, repeated, or out of order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
    /// Duration of the whole measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    /// Memory of the server per stream, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kb_each: Option<f64>,
}

impl TableRow {
    pub(super) fn new(name: Measurement, what: String) -> Self {
        Self {
            name,
            what,
            in_flight: None,
            per_s: None,
            p50_us: None,
            p99_us: None,
            floor_ratio: None,
            lost: None,
            seconds: None,
            kb_each: None,
        }
    }

    pub(super) fn print(&self, output: Output) -> Result<(), Error> {
        output.print(|| self.text(), || JsonLine("measured", self.rounded()))
    }

    fn text(&self) -> String {
        let or_blank = |cell: Option<String>| cell.unwrap_or_default();
        let cells = TableCells {
            name: self.name.as_str(),
            what: &self.what,
            per_s: &or_blank(self.per_s.map(number::rounded)),
            p50: &or_blank(self.p50_us.map(latency)),
            p99: &or_blank(self.p99_us.map(latency)),
            floor: &or_blank(self.floor_ratio.map(|ratio| format!("{ratio:.2} ×"))),
            result: &self.result(),
        };
        cells.line()
    }

    fn result(&self) -> String {
        let lost = self.lost.map(|lost| format!("{} lost", number::grouped(lost)));
        let seconds = self.seconds.map(|seconds| format!("{seconds:.4} s"));
        let kb_each = self.kb_each.map(|kb| format!("{kb:.1} KB each"));
        lost.or(seconds).or(kb_each).unwrap_or_default()
    }

    /// Without the digits that are not significant.
    fn rounded(&self) -> Self {
        let to = |digits: i32| {
            move |number: f64| {
                let scale = 10_f64.powi(digits);
                (number * scale).round() / scale
            }
        };
        Self {
            per_s: self.per_s.map(to(0)),
            p50_us: self.p50_us.map(to(0)),
            p99_us: self.p99_us.map(to(0)),
            floor_ratio: self.floor_ratio.map(to(3)),
            seconds: self.seconds.map(to(6)),
            kb_each: self.kb_each.map(to(2)),
            ..self.clone()
        }
    }
}

/// Prints the heads of the columns, for people.
pub(super) fn print_head(output: Output) -> Result<(), Error> {
    let head = TableCells {
        name: "name",
        what: "what",
        per_s: "per second",
        p50: "p50",
        p99: "p99",
        floor: "to floor",
        result: "result",
    };
    output.print_for_people(|| head.line())
}

/// The cells of a line of the table.
struct TableCells<'a> {
    name: &'a str,
    what: &'a str,
    per_s: &'a str,
    p50: &'a str,
    p99: &'a str,
    floor: &'a str,
    result: &'a str,
}

impl TableCells<'_> {
    fn line(&self) -> String {
        let Self { name, what, per_s, p50, p99, floor, result } = self;
        let line =
            format!("{name:<15} {what:<42} {per_s:>11} {p50:>9} {p99:>9} {floor:>8}  {result}");
        line.trim_end().to_owned()
    }
}

/// A latency as text: in µs below one millisecond, else in ms.
fn latency(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1_000.0) }
}
