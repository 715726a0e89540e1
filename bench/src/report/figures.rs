//! The charts of the report and their figures. Never draws.

use std::path::Path;

use super::charts::{self, Axis, Line, Span};
use super::format;
use crate::error::Error;
use crate::mix::MIX;
use crate::peer::Kind;
use crate::results::{Results, Row};

/// The charts: the name of the file, and the title for readers without pictures.
pub(super) const CHARTS: [(&str, &str); 15] = [
    ("publish", "Publishes a second"),
    ("publish_cpu", "Server CPU of a publish"),
    ("fan_out_shared", "Deliveries a second, shared connections"),
    ("fan_out_own", "Deliveries a second, own connections"),
    ("latency", "From publishing to delivery"),
    ("feed", "Reading a feed, by followees"),
    ("idle", "Memory of an idle watcher on its own connection"),
    ("restart", "Starting again after a kill"),
    ("growth_latency", "Latencies as data grows"),
    ("growth_publish", "Publishes a second as data grows"),
    ("growth_memory", "Memory and disk as data grows"),
    ("growth_restart", "Starting again as data grows"),
    ("audience", "One post to all who watch"),
    ("audience_memory", "Memory of a watcher, by watchers"),
    ("mixed", "A mixed day, call by call"),
];

const PER_S: Axis = Axis {
    name: "per second (logarithmic; span: all rounds)",
    tick: format::short,
    write: format::digits,
};
const TIME: Axis = Axis {
    name: "time (logarithmic; ● p50, ○ p99)",
    tick: format::short_time_us,
    write: format::time_us,
};
const CPU: Axis = Axis {
    name: "µs of server CPU (logarithmic; span: all rounds)",
    tick: format::short,
    write: format::digits,
};
const MEMORY: Axis =
    Axis { name: "memory of the server, each", tick: format::short_bytes, write: format::bytes };
const EVENTS: Axis =
    Axis { name: "edges and posts in the log", tick: format::short, write: format::digits };
const WATCHERS: Axis = Axis { name: "watchers", tick: format::short, write: format::digits };

/// Draws all charts with figures into `dir`. Gives their names.
pub(super) fn draw(results: &Results, dir: &Path) -> Result<Vec<&'static str>, Error> {
    let chart = Charts { results, dir };
    chart.spans("publish", "publish", first(results, "publish"), "per_s", PER_S)?;
    chart.spans("publish_cpu", "publish", first(results, "publish"), "cpu_us", CPU)?;
    for name in ["fan_out_shared", "fan_out_own"] {
        chart.spans(name, name, first(results, name), "per_s", PER_S)?;
    }
    chart.percentiles("latency", "latency", last(results, "latency"))?;
    chart.spans("idle", "idle_own", first(results, "idle_own"), "bytes_each", MEMORY)?;
    let seconds = Axis {
        name: "seconds (logarithmic; span: all rounds)",
        tick: format::short,
        write: format::digits,
    };
    chart.spans("restart", "restart", first(results, "restart"), "seconds", seconds)?;

    let time = Axis { name: "time", tick: format::short_time_us, write: format::time_us };
    chart.lines("feed", "feed", (charts::plain("followees"), time), &[("p50_us", "p50", false)])?;
    chart.lines(
        "growth_latency",
        "growth",
        (EVENTS, time),
        &[
            ("feed_p50_us", "feed of 100 followees, p50", false),
            ("delivery_p50_us", "publish to delivery, p50", true),
        ],
    )?;
    chart.lines(
        "growth_publish",
        "growth",
        (EVENTS, charts::plain("publishes a second")),
        &[("publish_per_s", "durable publishes, 64 in flight", false)],
    )?;
    let size = Axis { name: "bytes", tick: format::short_bytes, write: format::bytes };
    chart.lines(
        "growth_memory",
        "growth",
        (EVENTS, size),
        &[("memory_bytes", "memory", false), ("disk_bytes", "disk", true)],
    )?;
    chart.lines(
        "growth_restart",
        "growth",
        (EVENTS, charts::plain("seconds to serving")),
        &[("restart_seconds", "after kill -9", false)],
    )?;
    let last_ms = charts::plain("ms to the last delivery");
    chart.lines("audience", "audience", (WATCHERS, last_ms), &[("last_ms", "", false)])?;
    chart.lines("audience_memory", "audience", (WATCHERS, MEMORY), &[("bytes_each", "", false)])?;
    chart.calls("mixed", "mixed", first(results, "mixed"))?;
    let names = CHARTS.iter().map(|(name, _)| *name);
    Ok(names.filter(|name| dir.join(format!("{name}.svg")).exists()).collect())
}

fn first(results: &Results, measurement: &str) -> f64 {
    results.sizes(measurement).into_iter().find(|size| *size > 0.0).unwrap_or_default()
}

fn last(results: &Results, measurement: &str) -> f64 {
    results.sizes(measurement).pop().unwrap_or_default()
}

struct Charts<'a> {
    results: &'a Results,
    dir: &'a Path,
}

impl Charts<'_> {
    fn rows(&self, measurement: &str, x: f64) -> impl Iterator<Item = &Row> {
        let systems = self.results.systems(measurement);
        let measurement = measurement.to_owned();
        systems.into_iter().filter_map(move |system| self.results.row(&measurement, system, x))
    }

    fn title(&self, name: &str, x: f64) -> String {
        let title = CHARTS.iter().find(|(chart, _)| *chart == name).map_or("", |(_, title)| title);
        match name {
            "publish" | "publish_cpu" | "mixed" => format!("{title}, {x} in flight"),
            "fan_out_shared" | "fan_out_own" => format!("{title}, {} watchers", format::grouped(x)),
            "latency" => format!("{title}, {} posts a second", format::grouped(x)),
            "restart" => format!("{title}, {0} edges and {0} posts", format::grouped(x)),
            _ => title.to_owned(),
        }
    }

    /// Spans of one figure of each system over its rounds.
    fn spans(
        &self,
        name: &str,
        measurement: &str,
        x: f64,
        figure: &str,
        axis: Axis,
    ) -> Result<(), Error> {
        let spans: Vec<Span> = self
            .rows(measurement, x)
            .filter_map(|row| {
                let figure = row.figures.get(figure).filter(|figure| figure.min > 0.0)?;
                let (low, dot, high) = (figure.min, figure.median, figure.max);
                Some(Span {
                    kind: row.system,
                    label: row.system.label(),
                    low,
                    dot,
                    ring: None,
                    high,
                })
            })
            .collect();
        charts::spans(&self.file(name), &self.title(name, x), axis, &spans)
    }

    /// Spans from the median to the 99th percentile, for each system.
    fn percentiles(&self, name: &str, measurement: &str, x: f64) -> Result<(), Error> {
        let spans: Vec<Span> = self
            .rows(measurement, x)
            .filter_map(|row| {
                let (p50, p99) = (row.figures.get("p50_us")?, row.figures.get("p99_us")?);
                let (low, high) = (p50.median, p99.median);
                let (kind, label) = (row.system, row.system.label());
                Some(Span { kind, label, low, dot: low, ring: Some(high), high })
            })
            .collect();
        charts::spans(&self.file(name), &self.title(name, x), TIME, &spans)
    }

    /// Spans from the median to the 99th percentile, for each kind of call of the mix.
    fn calls(&self, name: &str, measurement: &str, x: f64) -> Result<(), Error> {
        let kind = Kind::Whimbrel;
        let spans: Vec<Span> = MIX
            .iter()
            .filter_map(|part| {
                let figure = |name: &str| {
                    let name = format!("{}_{name}", part.name);
                    Some(self.results.figure(measurement, kind, x, &name)?.median)
                };
                let (low, high) = (figure("p50_us")?, figure("p99_us")?);
                Some(Span { kind, label: part.label, low, dot: low, ring: Some(high), high })
            })
            .collect();
        charts::spans(&self.file(name), &self.title(name, x), TIME, &spans)
    }

    /// Lines of the figures of each system by size.
    fn lines(
        &self,
        name: &str,
        measurement: &str,
        axes: (Axis, Axis),
        figures: &[(&str, &str, bool)],
    ) -> Result<(), Error> {
        let mut lines = Vec::new();
        for kind in self.results.systems(measurement) {
            for (figure, label, is_dashed) in figures {
                let points: Vec<(f64, f64)> = self
                    .results
                    .sizes(measurement)
                    .into_iter()
                    .filter_map(|x| {
                        let found = self.results.figure(measurement, kind, x, figure)?;
                        Some((x, found.median)).filter(|(_, y)| *y > 0.0)
                    })
                    .collect();
                if !points.is_empty() {
                    let label = label_of(kind, label);
                    lines.push(Line { kind, label, is_dashed: *is_dashed, points });
                }
            }
        }
        charts::lines(&self.file(name), &self.title(name, 0.0), axes, &lines)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.join(format!("{name}.svg"))
    }
}

fn label_of(kind: Kind, label: &str) -> String {
    if label.is_empty() { kind.label().to_owned() } else { format!("{}: {label}", kind.label()) }
}
