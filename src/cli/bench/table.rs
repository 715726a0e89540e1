//! The rows of the table: a line for people, an object for machines. Measures nothing.

use serde::Serialize;

use super::Name;
use crate::cli::json::Line;
use crate::cli::{Error, Output, number};

/// One measurement. What does not apply is left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) name: Name,
    /// What was measured, for people.
    #[serde(skip)]
    pub(super) what: String,
    /// Only where a measurement is made again with another setting than the usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_flight: Option<u64>,
    /// Calls, posts or deliveries a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_us: Option<f64>,
    /// The rate, or for calls made one at a time the median latency, over that of the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor_ratio: Option<f64>,
    /// Deliveries that did not come, came twice, or came out of order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
    /// How long all of it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    /// Memory of the server for each stream, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kb_each: Option<f64>,
}

impl Row {
    pub(super) fn new(name: Name, what: String) -> Self {
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
        output.print(|| self.text(), || Line("measured", self.rounded()))
    }

    fn text(&self) -> String {
        let or_blank = |cell: Option<String>| cell.unwrap_or_default();
        let cells = Cells {
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

    /// Without the digits that say nothing.
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

/// Prints what the columns are, for people.
pub(super) fn print_head(output: Output) -> Result<(), Error> {
    let head = Cells {
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

/// A line of the table.
struct Cells<'a> {
    name: &'a str,
    what: &'a str,
    per_s: &'a str,
    p50: &'a str,
    p99: &'a str,
    floor: &'a str,
    result: &'a str,
}

impl Cells<'_> {
    fn line(&self) -> String {
        let Self { name, what, per_s, p50, p99, floor, result } = self;
        let line =
            format!("{name:<15} {what:<42} {per_s:>11} {p50:>9} {p99:>9} {floor:>8}  {result}");
        line.trim_end().to_owned()
    }
}

/// Microseconds, as milliseconds from the first on.
fn latency(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1_000.0) }
}
