//! The results of a shape: a table for people, objects for machines. Never measures.

use std::time::Duration;

use serde::Serialize;

use super::open_loop::{KindResult, StepResult};
use super::{CallKind, Published, Shape};
use crate::cli::bench::machine;
use crate::cli::json::JsonLine;
use crate::cli::{Error, Output, number};

/// The data of a shape after its preparation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreparedData<'a> {
    pub(super) shape: &'a str,
    scale: u64,
    users: u64,
    follows: u64,
    posts: u64,
    seconds: f64,
    /// Resident memory of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_kib: Option<u64>,
}

/// The result of a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepRow {
    /// Calls that should be made in a second.
    pub(super) rate: f64,
    /// Calls that were due in a second, and those that were answered before the step ended.
    due_per_s: f64,
    pub(super) per_s: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    p999_us: u64,
    errors: u64,
    calls: Vec<KindRow>,
    /// The part of the client in the latencies: by how much it began calls after they were due.
    late_p99_us: u64,
    /// Processor time of the server for a call, in µs, with its work in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_cpu_us: Option<f64>,
    /// Cores that the server and the client used on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cores: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cores: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_kib: Option<u64>,
    /// Why the server did not hold the rate; absent if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_held: Option<String>,
}

/// The calls of one kind in a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KindRow {
    call: CallKind,
    per_s: f64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
    errors: u64,
}

/// The highest rate that was held, and what others published.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeldRate<'a> {
    pub(super) shape: &'a str,
    /// 0 if no step was held.
    per_s: f64,
    /// Calls for each second of processor time of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_server_core: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<&'a Published>,
}

/// What the server and the client have used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuUse {
    server: Option<Duration>,
    client: Option<Duration>,
}

impl CpuUse {
    /// Reads the account of the operating system; `pid` is the server, if it is known.
    pub(super) fn now(pid: Option<u32>) -> Self {
        Self {
            server: pid.and_then(machine::cpu_time),
            client: machine::cpu_time(std::process::id()),
        }
    }

    fn since(self, before: Self) -> Self {
        let between =
            |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self {
            server: between(self.server, before.server),
            client: between(self.client, before.client),
        }
    }
}

impl<'a> PreparedData<'a> {
    pub(super) fn new(name: &'a str, shape: &Shape, took: Duration, pid: Option<u32>) -> Self {
        Self {
            shape: name,
            scale: shape.scale,
            users: shape.users,
            follows: shape.follows,
            posts: shape.posts,
            seconds: rounded(took.as_secs_f64()),
            server_kib: pid.and_then(machine::resident_kib),
        }
    }

    pub(super) fn print(&self, output: Output) -> Result<(), Error> {
        output.print(|| self.text(), || JsonLine("prepared", self))
    }

    fn text(&self) -> String {
        let [users, follows, posts] = [self.users, self.follows, self.posts].map(number::grouped);
        let rate = (self.follows + self.posts) as f64 / self.seconds.max(f64::EPSILON);
        let memory = self.server_kib.map(memory).map(|memory| format!("; the server has {memory}"));
        format!(
            "{} at 1:{}: {users} users, {follows} follows, {posts} posts, made in {:.1} s ({} \
             changes a second){}",
            self.shape,
            number::grouped(self.scale),
            self.seconds,
            number::rounded(rate),
            memory.unwrap_or_default()
        )
    }
}

impl StepRow {
    /// The row of a step at `rate` calls a second that took `took` with the last answers, and used
    /// what was used after `before`.
    pub(super) fn new(
        rate: f64,
        step: &StepResult,
        took: Duration,
        before: CpuUse,
        pid: Option<u32>,
    ) -> Self {
        let used = CpuUse::now(pid).since(before);
        let cores = |used: Option<Duration>| {
            used.map(|used| rounded(used.as_secs_f64() / took.as_secs_f64().max(f64::EPSILON)))
        };
        let all = step.all();
        let answers = all.due().max(1) as f64;
        let time = step.time();
        let calls = CallKind::ALL.into_iter().filter(|kind| step.of(*kind).due() > 0);
        Self {
            rate: rounded(rate),
            due_per_s: rounded(number::per_second(all.due(), time)),
            per_s: rounded(number::per_second(all.answered_in_time(), time)),
            p50_us: all.latency_us(0.50),
            p99_us: all.latency_us(0.99),
            p999_us: all.latency_us(0.999),
            errors: all.errors(),
            calls: calls.map(|kind| KindRow::new(kind, step.of(kind), time)).collect(),
            late_p99_us: step.late().p99_us(),
            server_cpu_us: used.server.map(|cpu| rounded(cpu.as_secs_f64() * 1e6 / answers)),
            server_cores: cores(used.server),
            client_cores: cores(used.client),
            server_kib: pid.and_then(machine::resident_kib),
            not_held: None,
        }
    }

    pub(super) fn print(&self, output: Output) -> Result<(), Error> {
        output.print(|| self.text(), || JsonLine("measured", self))
    }

    fn text(&self) -> String {
        let rate = number::rounded(self.rate);
        let lines = self.calls.iter().map(|kind| {
            let latencies = [kind.p50_us, kind.p99_us, kind.p999_us];
            line(&rate, kind.call.as_str(), kind.per_s, latencies, kind.errors)
        });
        let latencies = [self.p50_us, self.p99_us, self.p999_us];
        let all = line(&rate, "all", self.per_s, latencies, self.errors);
        let mut lines: Vec<_> = lines.chain([all]).collect();
        lines.push(format!("{:>12}{}", "", self.machine_text()));
        if let Some(why) = &self.not_held {
            lines.push(format!("{:>12}not held: {why}", ""));
        }
        lines.join("\n")
    }

    fn machine_text(&self) -> String {
        let server = match (self.server_cpu_us, self.server_cores, self.server_kib) {
            (Some(cpu), Some(cores), Some(kib)) => {
                let memory = memory(kib);
                format!("server: {cpu:.0} µs of CPU a call, {cores:.2} cores, {memory}; ")
            }
            _ => String::new(),
        };
        let cores = self.client_cores.map(|cores| format!("{cores:.2} cores, "));
        let late = latency(self.late_p99_us);
        format!("{server}client: {}calls begun late by {late} (p99)", cores.unwrap_or_default())
    }
}

impl KindRow {
    fn new(call: CallKind, calls: &KindResult, time: Duration) -> Self {
        Self {
            call,
            per_s: rounded(number::per_second(calls.answered_in_time(), time)),
            p50_us: calls.latency_us(0.50),
            p99_us: calls.latency_us(0.99),
            p999_us: calls.latency_us(0.999),
            errors: calls.errors(),
        }
    }
}

impl<'a> HeldRate<'a> {
    /// The row of the fastest step that was held, if one was.
    pub(super) fn new(name: &'a str, held: Option<&StepRow>, shape: &'a Shape) -> Self {
        let per_core = |cpu_us: f64| (cpu_us > 0.0).then(|| rounded(1e6 / cpu_us));
        Self {
            shape: name,
            per_s: held.map_or(0.0, |row| row.per_s),
            per_server_core: held.and_then(|row| row.server_cpu_us).and_then(per_core),
            published: shape.published.as_ref(),
        }
    }

    pub(super) fn print(&self, output: Output) -> Result<(), Error> {
        output.print(|| self.text(), || JsonLine("held", self))
    }

    fn text(&self) -> String {
        let mut lines = vec![match (self.per_s, self.per_server_core) {
            (0.0, _) => "held: none of these rates".to_owned(),
            (per_s, None) => format!("held: {} calls a second", number::rounded(per_s)),
            (per_s, Some(per_core)) => format!(
                "held: {} calls a second; {} for each second of the server's CPU",
                number::rounded(per_s),
                number::rounded(per_core)
            ),
        }];
        if let Some(published) = self.published {
            let Published { figures, hardware, source, not_comparable } = published;
            lines.push(format!("published: {figures}"));
            lines.push(format!("  hardware: {hardware}"));
            lines.push(format!("  source: {source}"));
            lines.push(format!("  not comparable: {}", not_comparable.trim()));
        }
        lines.join("\n")
    }
}

/// Prints the heads of the columns, for people.
pub(super) fn print_head(output: Output) -> Result<(), Error> {
    output.print_for_people(|| {
        let heads = ["calls/s", "call", "answered/s", "p50", "p99", "p99.9", "errors"];
        cells(heads)
    })
}

fn line(rate: &str, call: &str, per_s: f64, latencies_us: [u64; 3], errors: u64) -> String {
    let [p50, p99, p999] = latencies_us.map(latency);
    let (per_s, errors) = (number::rounded(per_s), number::grouped(errors));
    cells([rate, call, &per_s, &p50, &p99, &p999, &errors])
}

fn cells([rate, call, per_s, p50, p99, p999, errors]: [&str; 7]) -> String {
    format!("{rate:>10}  {call:<10} {per_s:>11} {p50:>9} {p99:>9} {p999:>9} {errors:>7}")
}

/// A latency as text: in µs below one millisecond, else in ms.
fn latency(us: u64) -> String {
    if us < 1_000 { format!("{us} µs") } else { format!("{:.1} ms", us as f64 / 1_000.0) }
}

fn memory(kib: u64) -> String {
    format!("{} MiB", number::grouped(kib / 1_024))
}

/// Without the digits that are not significant.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
