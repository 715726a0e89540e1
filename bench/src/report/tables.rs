//! The tables and texts of the report, by name. A missing figure is a dash, and the reason is below
//! the table; it is never 0.

use clap::ValueEnum;

use super::format::{bytes, digits, grouped, time_us, with_spread};
use super::{backup, security, targets};
use crate::mix::{MIX, Part};
use crate::peer::Kind;
use crate::results::{Later, Results, Row};
use crate::stats::Figure;

/// The cell of a missing figure.
pub(super) const NOTHING: &str = "–";

/// Formats a figure.
type Write = fn(f64) -> String;
/// A column: its head, and the function for its cell in a row.
type Column<'a> = (&'a str, &'a dyn Fn(&Row) -> String);

/// The table of this name; `None` if there is no such table.
pub(super) fn table(results: &Results, name: &str) -> Option<String> {
    match name {
        "targets" => Some(targets::table(results)),
        "versions" => Some(versions(results)),
        "idle" => Some(idle(results)),
        "mixed_calls" => Some(mixed_calls(results)),
        "security" => Some(security::table(results)),
        "backup" => Some(backup::table(results)),
        _ => write_table(results, name)
            .or_else(|| read_table(results, name))
            .or_else(|| size_table(results, name)),
    }
}

/// Tables of publishes and their deliveries.
fn write_table(results: &Results, name: &str) -> Option<String> {
    let per_s = cell("per_s", grouped);
    let (p50, p99) = (cell("p50_us", time_us), cell("p99_us", time_us));
    let cpu = cell("cpu_us", cpu_us);
    let lost = cell("lost", grouped);
    let seconds = cell("seconds", digits);
    Some(match name {
        "publish" => rows(
            results,
            &["publish"],
            &[
                ("system", &system),
                ("in flight", &x),
                ("publishes/s", &per_s),
                ("p50", &p50),
                ("p99", &p99),
                ("server CPU each", &cpu),
                ("of its own do-nothing call", &ratio),
                ("an answer means", &means),
            ],
        ),
        "thousand" => rows(
            results,
            &["thousand"],
            &[("system", &system), ("seconds for all", &seconds), ("an answer means", &means)],
        ),
        "fan_out" => rows(
            results,
            &["fan_out_shared", "fan_out_own"],
            &[
                ("system", &system),
                ("connections", &|row| {
                    if row.measurement == "fan_out_own" { "own" } else { "shared" }.to_owned()
                }),
                ("deliveries/s", &per_s),
                ("server CPU each", &cpu),
                ("not exactly once", &lost),
                ("posts a round", &cell("posts", grouped)),
            ],
        ),
        "latency" => rows(
            results,
            &["latency"],
            &[
                ("system", &system),
                ("posts/s", &x),
                ("delivered, p50", &p50),
                ("p99", &p99),
                ("latest", &cell("max_us", time_us)),
                ("answered, p50", &cell("answer_p50_us", time_us)),
                ("p99", &cell("answer_p99_us", time_us)),
                ("not exactly once", &lost),
            ],
        ),
        _ => return None,
    })
}

/// Tables of reads, mixed calls, memory and restarts.
fn read_table(results: &Results, name: &str) -> Option<String> {
    let per_s = cell("per_s", grouped);
    let (p50, p99) = (cell("p50_us", time_us), cell("p99_us", time_us));
    let cpu = cell("cpu_us", cpu_us);
    let seconds = cell("seconds", digits);
    Some(match name {
        "feed" => rows(
            results,
            &["feed"],
            &[
                ("system", &system),
                ("followees", &x),
                ("p50", &p50),
                ("p99", &p99),
                ("server CPU each", &cpu),
                ("do-nothing call of as many bytes, p50", &cell("floor_p50_us", time_us)),
            ],
        ),
        "edges" => rows(
            results,
            &["edges"],
            &[
                ("system", &system),
                ("memory each", &cell("memory_bytes_each", bytes)),
                ("disk each", &cell("disk_bytes_each", bytes)),
                ("its own account of them, each", &cell("relation_bytes_each", bytes)),
            ],
        ),
        "memory" => rows(
            results,
            &["memory"],
            &[
                ("users", &x),
                ("empty server", &cell("empty_bytes", bytes)),
                ("a user", &cell("user_bytes", bytes)),
                ("a follow", &cell("follow_bytes", bytes)),
                ("a watcher, shared connection", &cell("shared_watcher_bytes", bytes)),
                ("a watcher, own connection", &cell("own_watcher_bytes", bytes)),
            ],
        ),
        "connections" => rows(
            results,
            &["connections"],
            &[
                ("connections", &x),
                ("memory each", &cell("bytes_each", bytes)),
                ("of the kernel, each", &cell("kernel_bytes_each", bytes)),
                ("idle CPU, ms a second", &cell("idle_cpu_ms_per_s", digits)),
                ("publish to delivery without them, p50", &cell("alone_p50_us", time_us)),
                ("p99", &cell("alone_p99_us", time_us)),
                ("among them, p50", &p50),
                ("p99", &p99),
                ("not exactly once", &cell("lost", grouped)),
                ("seconds to stop", &cell("stop_seconds", digits)),
            ],
        ),
        "restart" => rows(
            results,
            &["restart"],
            &[
                ("system", &system),
                ("seconds until it answers", &seconds),
                ("an answer had meant", &means),
            ],
        ),
        "mixed" => rows(
            results,
            &["mixed"],
            &[
                ("in flight", &x),
                ("calls/s", &per_s),
                ("reads/s", &cell("reads_per_s", grouped)),
                ("writes/s", &cell("writes_per_s", grouped)),
                ("p50", &p50),
                ("p99", &p99),
                ("server CPU each", &cpu),
                ("pushed/s", &cell("pushed_per_s", grouped)),
                ("post was gone", &cell("gone", grouped)),
            ],
        ),
        "storm" => rows(
            results,
            &["storm"],
            &[
                ("watchers", &x),
                ("seconds until all streams are open", &cell("opened_seconds", digits)),
                ("until half have caught up", &cell("median_seconds", digits)),
                ("until the last has", &cell("slowest_seconds", digits)),
                ("posts caught up on", &cell("deliveries", grouped)),
                ("with a hole or a repeat", &cell("incomplete", grouped)),
                ("server CPU", &cell("cpu_seconds", digits)),
                ("memory before", &cell("memory_before_bytes", bytes)),
                ("after", &cell("memory_after_bytes", bytes)),
                ("peak", &cell("memory_peak_bytes", bytes)),
            ],
        ),
        _ => return None,
    })
}

/// Tables by the size of the data or of the audience.
fn size_table(results: &Results, name: &str) -> Option<String> {
    let lost = cell("lost", grouped);
    Some(match name {
        "growth" => rows(
            results,
            &["growth"],
            &[
                ("edges and posts", &x),
                ("publishes/s, 64 in flight", &cell("publish_per_s", grouped)),
                ("CPU each", &cell("publish_cpu_us", cpu_us)),
                ("feed, p50", &cell("feed_p50_us", time_us)),
                ("p99", &cell("feed_p99_us", time_us)),
                ("delivery at 1,000/s, p50", &cell("delivery_p50_us", time_us)),
                ("p99", &cell("delivery_p99_us", time_us)),
                ("memory", &cell("memory_bytes", bytes)),
                ("disk", &cell("disk_bytes", bytes)),
                ("seconds to serving after kill -9", &cell("restart_seconds", digits)),
            ],
        ),
        "audience" => rows(
            results,
            &["audience"],
            &[
                ("system", &system),
                ("watchers", &x),
                ("ms to the last delivery", &cell("last_ms", digits)),
                ("answer to the author", &cell("answer_us", time_us)),
                ("memory each", &cell("bytes_each", bytes)),
                ("not exactly once", &lost),
            ],
        ),
        "small_posts" => rows(
            results,
            &["small_posts"],
            &[
                ("system", &system),
                ("watchers", &x),
                ("ms to the last of them", &cell("last_ms", digits)),
                ("worst", &cell("last_worst_ms", digits)),
                ("small posts alone: delivered p50", &cell("alone_p50_us", time_us)),
                ("p99", &cell("alone_p99_us", time_us)),
                ("answered p99", &cell("alone_answer_p99_us", time_us)),
                ("during it: delivered p50", &cell("beside_p50_us", time_us)),
                ("p99", &cell("beside_p99_us", time_us)),
                ("answered p99", &cell("beside_answer_p99_us", time_us)),
                ("not exactly once", &lost),
            ],
        ),
        _ => return None,
    })
}

fn system(row: &Row) -> String {
    row.system.label().to_owned()
}

fn x(row: &Row) -> String {
    grouped(row.x)
}

fn means(row: &Row) -> String {
    row.system.durability().to_owned()
}

/// The rate as a multiple of the rate of the cheapest call.
fn ratio(row: &Row) -> String {
    let ratio = row.figures.get("per_s").zip(row.figures.get("floor_per_s"));
    or_nothing(ratio.and_then(|(own, floor)| own.ratio(floor)), |it| format!("{it:.2} ×"))
}

/// The text of this name; `None` if there is no such text.
pub(super) fn text(results: &Results, name: &str) -> Option<String> {
    let machine = &results.machine;
    Some(match name {
        "date" => results.date.clone(),
        "command" => results.command.clone(),
        "rounds" => results.rounds.to_string(),
        "minutes" => digits(results.seconds / 60.0),
        "machine" => format!(
            "{} cores ({}), {:.0} GiB, Linux {}; an fdatasync of 200 bytes takes {}",
            machine.cores,
            machine.processor,
            machine.memory_gib,
            machine.kernel,
            time_us(machine.flush_us),
        ),
        "later" => results.later.iter().map(later).collect(),
        "warning" if results.quick => {
            "**These are the figures of a quick run, which shows that everything works and \
             measures nothing.**"
                .to_owned()
        }
        "warning" => String::new(),
        _ => return None,
    })
}

/// When something was measured in a later run, and by what.
fn later(later: &Later) -> String {
    let measurements: Vec<_> = later.measurements.iter().map(|it| format!("`{it}`")).collect();
    let versions: Vec<_> = later.versions.values().map(String::as_str).collect();
    format!(
        "- **{}:** {}, in a later run, by `{}` in {} minutes, with {} rounds ({}); an \
         fdatasync then took {}.\n",
        measurements.join(", "),
        later.date,
        later.command,
        digits(later.seconds / 60.0),
        later.rounds,
        versions.join("; "),
        time_us(later.machine.flush_us),
    )
}

/// The systems with their versions, and the systems that were skipped or not chosen.
fn versions(results: &Results) -> String {
    let mut lines = head(&["system", "version", "an answered publish is"]);
    for (kind, version) in &results.versions {
        lines += &line(&[kind.label(), version, kind.durability()].map(str::to_owned));
    }
    for (kind, why) in &results.skipped {
        lines += &format!("\n**Skipped: {}**: {why}\n", kind.label());
    }
    let is_known =
        |kind: &Kind| results.versions.contains_key(kind) || results.skipped.contains_key(kind);
    for kind in Kind::value_variants().iter().filter(|kind| !is_known(kind)) {
        lines += &format!("\n**Not measured in this run: {}**\n", kind.label());
    }
    lines
}

/// Memory of an idle watcher on both kinds of connections.
fn idle(results: &Results) -> String {
    let mut lines = head(&["system", "on a shared connection", "on its own connection"]);
    let mut systems = results.systems("idle_shared");
    systems.extend(results.systems("idle_own"));
    systems.sort_unstable();
    systems.dedup();
    let each = |measurement: &str, kind: Kind| {
        let sizes = results.sizes(measurement);
        let found = sizes.iter().find_map(|x| results.figure(measurement, kind, *x, "bytes_each"));
        found.map_or_else(|| NOTHING.to_owned(), |figure| bytes(figure.median))
    };
    for kind in systems {
        let cells = [kind.label().to_owned(), each("idle_shared", kind), each("idle_own", kind)];
        lines += &line(&cells);
    }
    lines + &notes(results, &["idle_shared", "idle_own"])
}

/// A row for each kind of call of the mix, with columns for each number of calls in flight.
fn mixed_calls(results: &Results) -> String {
    let sizes = results.sizes("mixed");
    let figure = |x: f64, part: &Part, name: &str| {
        let name = format!("{}_{name}", part.name);
        results.figure("mixed", Kind::Whimbrel, x, &name).map(|figure| figure.median)
    };
    let per_cent = |part: &Part| {
        let x = *sizes.first()?;
        let all = results.figure("mixed", Kind::Whimbrel, x, "per_s")?.median;
        Some(figure(x, part, "per_s")? / all * 100.0)
    };
    let mut heads = vec!["call".to_owned(), "of all calls".to_owned()];
    for x in &sizes {
        heads.extend([format!("{} in flight: p50", grouped(*x)), "p99".to_owned()]);
    }
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut lines = head(&heads);
    for part in &MIX {
        let share = or_nothing(per_cent(part), |it| format!("{} %", digits(it)));
        let mut cells = vec![part.label.to_owned(), share];
        for x in &sizes {
            cells.extend(["p50_us", "p99_us"].map(|it| or_nothing(figure(*x, part, it), time_us)));
        }
        lines += &line(&cells);
    }
    lines
}

/// A table of all rows of `measurements`, by size.
pub(super) fn rows(results: &Results, measurements: &[&str], columns: &[Column<'_>]) -> String {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let mut lines = head(&heads);
    let mut is_empty = true;
    for measurement in measurements {
        for x in results.sizes(measurement) {
            for kind in results.systems(measurement) {
                let row = results.row(measurement, kind, x);
                let Some(row) = row.filter(|row| !row.figures.is_empty()) else { continue };
                is_empty = false;
                let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(row)).collect();
                lines += &line(&cells);
            }
        }
    }
    if is_empty {
        lines = "*(not measured in this run)*\n".to_owned();
    }
    lines + &notes(results, measurements)
}

/// The systems that were not measured, and the reasons.
pub(super) fn notes(results: &Results, measurements: &[&str]) -> String {
    let rows = results.rows.iter().filter(|row| measurements.contains(&&*row.measurement));
    let mut notes = String::new();
    for row in rows {
        if let Some(note) = &row.note {
            let what = match &*row.measurement {
                "fan_out_shared" | "idle_shared" => ", shared connections",
                "fan_out_own" | "idle_own" => ", own connections",
                _ => "",
            };
            notes += &format!("- Not measured: {}{what}: {note}.\n", row.system.label());
        }
    }
    if notes.is_empty() { notes } else { format!("\n{notes}") }
}

/// A function for the cell of a figure.
pub(super) fn cell(name: &'static str, write: Write) -> impl Fn(&Row) -> String {
    move |row| {
        let figure: Option<&Figure> = row.figures.get(name);
        figure.map_or_else(|| NOTHING.to_owned(), |figure| with_spread(figure, write))
    }
}

fn cpu_us(us: f64) -> String {
    format!("{} µs", digits(us))
}

pub(super) fn or_nothing<T>(value: Option<T>, write: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), write)
}

pub(super) fn head(cells: &[&str]) -> String {
    let rule: Vec<String> = cells.iter().map(|_| "---".to_owned()).collect();
    let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
    line(&cells) + &line(&rule)
}

pub(super) fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
