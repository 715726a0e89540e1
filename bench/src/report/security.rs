//! The table of what tokens and TLS cost, each figure with its ratio to a server that has neither. Never
//! measures.

use super::format::{bytes, digits, grouped, time_us};
use super::tables::{NOTHING, head, line, notes, or_nothing};
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

/// The name of the rows of `measurement` with `protection`.
pub(super) fn row_name(measurement: &str, protection: Protection) -> String {
    format!("{measurement}_{}", protection.name())
}

fn figure<'a>(results: &'a Results, shown: &Shown, protection: Protection) -> Option<&'a Figure> {
    let measurement = row_name(shown.measurement, protection);
    let x = shown.x.or_else(|| results.sizes(&measurement).first().copied())?;
    results.figure(&measurement, Kind::Whimbrel, x, shown.figure)
}
