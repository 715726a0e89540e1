//! The figures that a comparison shows, and their table. Never decides whether a figure has
//! changed.

use super::verdict::{Better, Comparison, ROUNDS_MIN, Verdict, compare};
use crate::peer::Kind;
use crate::report::format::{bytes, digits, grouped, time_us};
use crate::results::Results;

/// Below the table.
const RULE: &str = "Changed: all rounds point one way (of seven or more all but one), and the median \
                    of the rounds' ratios is farther from 1 than the noise (1 %, or 3 × what a \
                    build typically differs from itself between two successive rounds). Rounds \
                    without a value in both builds do not count.";

/// A figure that is shown.
struct Shown {
    measurement: &'static str,
    figure: &'static str,
    /// Its name. `{x}` stands for the size.
    name: &'static str,
    better: Better,
    write: fn(f64) -> String,
}

/// The text of a comparison.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) text: String,
    /// The names of the figures that are better beyond noise.
    pub(super) better: Vec<String>,
    /// The names of the figures that are worse beyond noise.
    pub(super) worse: Vec<String>,
    /// Whether no figure has a verdict: none was measured often enough.
    pub(super) is_open: bool,
}

const fn rate(measurement: &'static str, figure: &'static str, name: &'static str) -> Shown {
    Shown { measurement, figure, name, better: Better::Higher, write: grouped }
}

const fn time(measurement: &'static str, figure: &'static str, name: &'static str) -> Shown {
    Shown { measurement, figure, name, better: Better::Lower, write: time_us }
}

const fn size(measurement: &'static str, figure: &'static str, name: &'static str) -> Shown {
    Shown { measurement, figure, name, better: Better::Lower, write: bytes }
}

const fn seconds(measurement: &'static str, figure: &'static str, name: &'static str) -> Shown {
    Shown { measurement, figure, name, better: Better::Lower, write: in_s }
}

/// In the order of the table. Times are p50 if nothing else is said, CPU is that of the server.
const SHOWN: [Shown; 45] = [
    rate("publish", "floor_per_s", "call that does nothing, {x} in flight, a second"),
    rate("publish", "per_s", "publish, {x} in flight, a second"),
    time("publish", "cpu_us", "publish, {x} in flight, CPU each"),
    seconds("thousand", "seconds", "{x} posts at once"),
    rate("fan_out_shared", "per_s", "fan-out to {x}, shared connections, a second"),
    time("fan_out_shared", "cpu_us", "fan-out to {x}, shared connections, CPU each"),
    rate("fan_out_own", "per_s", "fan-out to {x}, own connections, a second"),
    time("fan_out_own", "cpu_us", "fan-out to {x}, own connections, CPU each"),
    time("latency", "p50_us", "publish to delivery, {x} a second"),
    time("latency", "p99_us", "publish to delivery, {x} a second, p99"),
    time("feed", "p50_us", "feed page, {x} followees"),
    time("feed", "p99_us", "feed page, {x} followees, p99"),
    time("feed", "cpu_us", "feed page, {x} followees, CPU each"),
    size("idle_shared", "bytes_each", "idle watcher of {x}, shared connections"),
    size("idle_own", "bytes_each", "idle watcher of {x}, own connection"),
    size("edges", "memory_bytes_each", "follow, memory"),
    size("edges", "disk_bytes_each", "follow, disk"),
    seconds("restart", "seconds", "start with {x} edges and posts"),
    rate("growth", "publish_per_s", "publish, {x} events before, a second"),
    time("growth", "feed_p50_us", "feed page, {x} events before"),
    size("growth", "memory_bytes", "memory with {x} events"),
    size("growth", "disk_bytes", "disk with {x} events"),
    seconds("growth", "restart_seconds", "start with {x} events"),
    Shown {
        measurement: "audience",
        figure: "last_ms",
        name: "post to {x} watchers, last delivery",
        better: Better::Lower,
        write: in_ms,
    },
    time("small_posts", "beside_p50_us", "others' posts during posts to {x}"),
    time("small_posts", "beside_p99_us", "others' posts during posts to {x}, p99"),
    seconds("storm", "slowest_seconds", "{x} watchers who resume, the last one"),
    size("storm", "memory_peak_bytes", "{x} watchers who resume, peak memory"),
    rate("mixed", "per_s", "mixed day, {x} in flight, calls a second"),
    time("mixed", "p50_us", "mixed day, {x} in flight"),
    time("mixed", "p99_us", "mixed day, {x} in flight, p99"),
    time("mixed", "cpu_us", "mixed day, {x} in flight, CPU a call"),
    rate("mixed", "pushed_per_s", "mixed day, {x} in flight, pushed a second"),
    time("security_plain", "look_up_cpu_us", "look-up with neither, {x} in flight, CPU each"),
    time("security_plain", "page_cpu_us", "page with neither, {x} in flight, CPU each"),
    rate("security_fan_out_plain", "per_s", "fan-out to {x} with neither, a second"),
    size("security_idle_plain", "bytes_each", "idle watcher of {x} with neither"),
    time("security_tokens", "look_up_cpu_us", "look-up with tokens, {x} in flight, CPU each"),
    time("security_tokens", "page_cpu_us", "page with tokens, {x} in flight, CPU each"),
    rate("security_fan_out_tokens", "per_s", "fan-out to {x} with tokens, a second"),
    size("security_idle_tokens", "bytes_each", "idle watcher of {x} with tokens"),
    time("security_tls", "look_up_cpu_us", "look-up with tokens and TLS, {x} in flight, CPU each"),
    time("security_tls", "page_cpu_us", "page with tokens and TLS, {x} in flight, CPU each"),
    rate("security_fan_out_tls", "per_s", "fan-out to {x} with tokens and TLS, a second"),
    size("security_idle_tls", "bytes_each", "idle watcher of {x} with tokens and TLS"),
];

/// Compares all shown figures that both have.
pub(super) fn table(base: &Results, now: &Results) -> Table {
    let heads = ["", "base", "now", "now / base", "noise", "rounds", "verdict"].map(str::to_owned);
    let (mut lines, mut better, mut worse) = (vec![heads], Vec::new(), Vec::new());
    let mut is_open = true;
    for shown in &SHOWN {
        for x in base.sizes(shown.measurement) {
            let figure = |results: &Results| {
                results.figure(shown.measurement, Kind::Whimbrel, x, shown.figure).cloned()
            };
            let Some((base, now)) = figure(base).zip(figure(now)) else { continue };
            let name = shown.name.replace("{x}", &grouped(x));
            let comparison = compare(&base.rounds, &now.rounds, shown.better);
            is_open &= comparison.verdict == Verdict::TooFewRounds;
            match comparison.verdict {
                Verdict::Better => better.push(name.clone()),
                Verdict::Worse => worse.push(name.clone()),
                Verdict::WithinNoise | Verdict::TooFewRounds => {}
            }
            let [ratio, noise, rounds, verdict] = cells(comparison);
            let (base, now) = ((shown.write)(base.median), (shown.write)(now.median));
            lines.push([name, base, now, ratio, noise, rounds, verdict]);
        }
    }
    Table { text: aligned(&lines) + "\n" + RULE + "\n", better, worse, is_open }
}

/// The last four cells of a line.
fn cells(comparison: Comparison) -> [String; 4] {
    let verdict = match comparison.verdict {
        Verdict::Better => "better".to_owned(),
        Verdict::Worse => "WORSE".to_owned(),
        Verdict::WithinNoise => "within noise".to_owned(),
        Verdict::TooFewRounds => format!("none: fewer than {ROUNDS_MIN} rounds"),
    };
    let rounds = comparison.rounds.to_string();
    if comparison.rounds == 0 {
        return ["–".to_owned(), "–".to_owned(), rounds, verdict];
    }
    let noise = format!("± {:.1} %", (comparison.noise - 1.0) * 100.0);
    [format!("{:.3} ×", comparison.ratio), noise, rounds, verdict]
}

/// A table of Markdown that is aligned for a terminal, too.
fn aligned<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} |"));
        text += &format!("|{}\n", cells.collect::<String>());
        if number == 0 {
            let rules = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
            text += &format!("|{}\n", rules.collect::<String>());
        }
    }
    text
}

fn in_ms(ms: f64) -> String {
    time_us(ms * 1e3)
}

fn in_s(seconds: f64) -> String {
    format!("{} s", digits(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(figures: &[(&str, f64, &str, [f64; 5])]) -> Results {
        let mut results = Results::default();
        for (measurement, x, name, rounds) in figures {
            let row = results.row_mut(measurement, Kind::Whimbrel, *x);
            let figure = row.figures.entry((*name).to_owned()).or_default();
            rounds.iter().for_each(|round| figure.push(*round));
        }
        results
    }

    /// The aim: each figure that both builds have is a line with its medians, its ratio and its
    /// verdict, and those that are worse are named.
    #[test]
    fn what_both_have_is_compared() {
        let base = results(&[
            ("publish", 64.0, "per_s", [1_000.0, 1_010.0, 990.0, 1_005.0, 995.0]),
            ("audience", 1_000.0, "last_ms", [2.0, 2.02, 1.98, 2.01, 1.99]),
            ("feed", 1_000.0, "p50_us", [100.0; 5]),
        ]);
        let now = results(&[
            ("publish", 64.0, "per_s", [1_200.0, 1_210.0, 1_190.0, 1_205.0, 1_195.0]),
            ("audience", 1_000.0, "last_ms", [3.0, 3.03, 2.97, 3.01, 2.99]),
        ]);
        let Table { text, better, worse, is_open } = table(&base, &now);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(
            lines[2][1..5],
            ["publish, 64 in flight, a second", "1,000", "1,200", "1.200 ×"]
        );
        assert_eq!(lines[2][6..8], ["5", "better"]);
        assert_eq!(
            lines[3][1..5],
            ["post to 1,000 watchers, last delivery", "2.00 ms", "3.00 ms", "1.500 ×"]
        );
        assert_eq!(lines[3][7], "WORSE");
        assert_eq!(better, ["publish, 64 in flight, a second"]);
        assert_eq!(worse, ["post to 1,000 watchers, last delivery"]);
        assert!(!is_open);
        assert!(!text.contains("feed page") && text.ends_with(&format!("\n{RULE}\n")), "{text}");
    }

    /// The aim: rounds without a value do not count, and the line says how many do.
    #[test]
    fn rounds_without_a_value_do_not_count() {
        let cpu = |rounds| results(&[("fan_out_own", 50.0, "cpu_us", rounds)]);
        let (some, none) = (cpu([4.0, 0.0, 4.0, 4.0, 4.0]), cpu([0.0; 5]));
        for (now, cells) in [(&some, ["1.000 ×", "± 1.0 %", "4"]), (&none, ["–", "–", "0"])] {
            let Table { text, better, worse, is_open } = table(&some, now);
            let line: Vec<_> = text.lines().nth(2).unwrap().split('|').map(str::trim).collect();
            assert_eq!(line[4..7], cells);
            assert_eq!(line[7], "none: fewer than 5 rounds");
            assert!(is_open && better.is_empty() && worse.is_empty());
        }
    }
}
