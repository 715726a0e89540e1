//! What tokens and TLS cost: the table, in which each figure has its ratio to that of a server with
//! neither, and the targets. Never measures.

use super::format::{bytes, digits, grouped, time_us};
use super::tables::{NOTHING, head, line, notes, or_nothing};
use super::targets::Target;
use crate::peer::{Kind, Protection};
use crate::results::Results;
use crate::stats::Figure;

/// A line of the table.
struct Shown {
    name: &'static str,
    measurement: &'static str,
    /// `None` for the only size of the measurement.
    x: Option<f64>,
    figure: &'static str,
    write: fn(f64) -> String,
}

const fn call(name: &'static str, x: f64, figure: &'static str, write: fn(f64) -> String) -> Shown {
    Shown { name, measurement: "security", x: Some(x), figure, write }
}

const fn streams(
    name: &'static str,
    measurement: &'static str,
    figure: &'static str,
    write: fn(f64) -> String,
) -> Shown {
    Shown { name, measurement, x: None, figure, write }
}

const SHOWN: [Shown; 15] = [
    call("health, one in flight, p50", 1.0, "floor_p50_us", time_us),
    call("health, 64 in flight, a second", 64.0, "floor_per_s", grouped),
    call("health, 64 in flight, server CPU", 64.0, "floor_cpu_us", time_us),
    call("look-up, one in flight, p50", 1.0, "look_up_p50_us", time_us),
    call("look-up, 64 in flight, a second", 64.0, "look_up_per_s", grouped),
    call("look-up, 64 in flight, server CPU", 64.0, "look_up_cpu_us", time_us),
    call("page, one in flight, p50", 1.0, "page_p50_us", time_us),
    call("page, 64 in flight, a second", 64.0, "page_per_s", grouped),
    call("page, 64 in flight, server CPU", 64.0, "page_cpu_us", time_us),
    call("publish, one in flight, p50", 1.0, "publish_p50_us", time_us),
    call("publish, 64 in flight, a second", 64.0, "publish_per_s", grouped),
    call("publish, 64 in flight, server CPU", 64.0, "publish_cpu_us", time_us),
    streams("fan-out, deliveries a second", "security_fan_out", "per_s", grouped),
    streams("fan-out, server CPU of a delivery", "security_fan_out", "cpu_us", time_us),
    streams("idle stream, memory", "security_idle", "bytes_each", bytes),
];

/// The table.
pub(super) fn table(results: &Results) -> String {
    let mut lines = head(&["", "neither", "tokens", "", "tokens and TLS", ""]);
    for shown in &SHOWN {
        let figure = |protection| figure(results, shown, protection);
        let plain = figure(Protection::Plain);
        let mut cells = vec![shown.name.to_owned()];
        cells.push(or_nothing(plain, |figure| (shown.write)(figure.median)));
        for protection in [Protection::Tokens, Protection::TokensAndTls] {
            let own = figure(protection);
            cells.push(or_nothing(own, |figure| (shown.write)(figure.median)));
            let ratio = own.zip(plain).and_then(|(own, plain)| own.ratio(plain));
            cells.push(ratio.map_or_else(|| NOTHING.to_owned(), |it| format!("{} ×", digits(it))));
        }
        lines += &line(&cells);
    }
    let measurements: Vec<String> = ["security", "security_fan_out", "security_idle"]
        .iter()
        .flat_map(|of| Protection::ALL.map(|protection| row_name(of, protection)))
        .collect();
    let measurements: Vec<&str> = measurements.iter().map(String::as_str).collect();
    lines + &notes(results, &measurements)
}

/// The targets.
pub(super) fn targets(results: &Results) -> Vec<Target> {
    let ratio = |shown: Shown, protection| {
        figure(results, &shown, protection)?.ratio(figure(results, &shown, Protection::Plain)?)
    };
    let of_call = |name, target, protection, ratio_max: f64| {
        let alone = ratio(call("", 1.0, "look_up_p50_us", time_us), protection);
        let many = ratio(call("", 64.0, "look_up_cpu_us", time_us), protection);
        let measured = alone.zip(many).map(|(alone, many)| {
            (format!("{alone:.2} ×, {many:.2} ×"), alone <= ratio_max && many <= ratio_max)
        });
        Target { name, target, measured, peers: NOTHING.to_owned() }
    };
    let both = Protection::TokensAndTls;
    let of_fan_out = |figure| streams("", "security_fan_out", figure, grouped);
    let fan_out = ratio(of_fan_out("per_s"), both);
    let lost = figure(results, &of_fan_out("lost"), both).map(|figure| figure.max);
    let fan_out = fan_out.zip(lost).map(|(ratio, lost)| {
        (format!("{ratio:.2} ×, {} lost", grouped(lost)), ratio >= 0.6 && lost == 0.0)
    });
    vec![
        of_call(
            "P13, a token",
            "a look-up ≤ 1.15 × one without: its p50 alone, and its server CPU with 64 in flight",
            Protection::Tokens,
            1.15,
        ),
        of_call("P13, a token and TLS", "the same ≤ 1.35 × one with neither", both, 1.35),
        Target {
            name: "P13, fan-out with both",
            target: "1,000 watchers on 1,000 connections ≥ 0.60 × deliveries with neither, nothing \
                     lost",
            measured: fan_out,
            peers: NOTHING.to_owned(),
        },
    ]
}

/// The name of the rows of `measurement` with `protection`.
fn row_name(measurement: &str, protection: Protection) -> String {
    format!("{measurement}_{}", protection.name())
}

fn figure<'a>(results: &'a Results, shown: &Shown, protection: Protection) -> Option<&'a Figure> {
    let measurement = row_name(shown.measurement, protection);
    let x = shown.x.or_else(|| results.sizes(&measurement).first().copied())?;
    results.figure(&measurement, Kind::Whimbrel, x, shown.figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: a figure stands next to its ratio to the same figure of the server with neither, taken
    /// round by round, and what is missing is no 0.
    #[test]
    fn each_figure_has_its_ratio() {
        let mut results = Results::default();
        for (name, protection, rounds) in [
            ("security", Protection::Plain, [10.0, 20.0]),
            ("security", Protection::TokensAndTls, [12.0, 24.0]),
            ("security_idle", Protection::Plain, [1_024.0, 1_024.0]),
        ] {
            let (x, figure) =
                if name == "security" { (64.0, "page_cpu_us") } else { (1_000.0, "bytes_each") };
            let row = results.row_mut(&row_name(name, protection), Kind::Whimbrel, x);
            let figure = row.figures.entry(figure.to_owned()).or_default();
            rounds.into_iter().for_each(|round| figure.push(round));
        }
        let table = table(&results);
        for expected in [
            "| page, 64 in flight, server CPU | 15.0 µs | – | – | 18.0 µs | 1.20 × |",
            "| idle stream, memory | 1,024 B | – | – | – | – |",
            "| fan-out, deliveries a second | – | – | – | – | – |",
        ] {
            assert!(table.contains(expected), "{expected:?} is not in:\n{table}");
        }
    }
}
