//! The figures as lines for people. Never asks a server.

use super::figures::{
    CallError, Calls, Changes, Figures, Process, Reads, Rpc, Storage, Streams, Times,
};
use crate::cli::number::{counted, grouped, rounded};
use crate::cli::table::table;

/// All lines: an overview, the RPCs that were called, and the errors.
pub(super) fn lines(figures: &Figures, address: &str) -> Vec<String> {
    let mut lines = vec![
        format!(
            "whimbrel {} at {address}, up {}, revision {}",
            figures.version,
            age(figures.up_seconds),
            grouped(figures.storage.head_revision),
        ),
        String::new(),
    ];
    lines.extend(overview(figures).map(|(what, text)| format!("{what:<10}{text}")));
    if !figures.rpcs.is_empty() {
        let rows: Vec<_> = figures.rpcs.iter().map(rpc).collect();
        let rows = table(["RPC", "CALLS/S", "ERRORS/S", "IN FLIGHT", "P50", "P99"], &rows);
        lines.push(String::new());
        lines.extend(rows.lines().map(str::to_owned));
    }
    if !figures.errors.is_empty() {
        let rows: Vec<_> = figures.errors.iter().map(error).collect();
        let rows = table(["ERROR", "REASON", "RPC", "ERRORS/S"], &rows);
        lines.push(String::new());
        lines.extend(rows.lines().map(str::to_owned));
    }
    lines
}

fn overview(figures: &Figures) -> [(&'static str, String); 6] {
    [
        ("calls", calls(&figures.calls)),
        ("changes", changes(&figures.changes)),
        ("streams", streams(&figures.streams)),
        ("reads", reads(&figures.reads)),
        ("storage", storage(&figures.storage)),
        ("process", process(&figures.process)),
    ]
}

fn calls(of: &Calls) -> String {
    format!(
        "{}/s, errors {}/s ({}/s over a quota), in flight {}",
        rate(of.per_second),
        rate(of.errors_per_second),
        rate(of.quota_refusals_per_second),
        grouped(of.in_flight),
    )
}

fn changes(of: &Changes) -> String {
    let each = match of.batches_per_second {
        0.0 => 0.0,
        batches => of.per_second / batches,
    };
    format!(
        "{}/s, {} a flush of {}, applied within {}, {} queued",
        rate(of.per_second),
        rate(each),
        times(of.flush),
        times(of.until_applied),
        grouped(of.queued),
    )
}

fn streams(of: &Streams) -> String {
    format!(
        "{} open, {}/s opened, {} deliveries/s within {}, {}/s refilled",
        grouped(of.open),
        rate(of.opened_per_second),
        rate(of.deliveries_per_second),
        times(of.delay),
        rate(of.refills_per_second),
    )
}

fn reads(of: &Reads) -> String {
    format!(
        "{}/s, {}/s of the disk within {}, {} waiting",
        rate(of.per_second),
        rate(of.of_disk_per_second),
        times(of.disk),
        grouped(of.waiting),
    )
}

fn storage(of: &Storage) -> String {
    format!(
        "log {} in {}, {} free, index {} behind{}",
        bytes(of.log_bytes),
        counted(of.segments, "segment"),
        bytes(of.free_bytes),
        grouped(of.index_lag_revisions),
        if of.is_index_usable { "" } else { ", LOST and being repaired" },
    )
}

fn process(of: &Process) -> String {
    format!(
        "{} % of a processor, {} of memory, {}, {} of {} files, workers late by {}",
        rounded(of.processors * 100.0),
        bytes(of.memory_bytes),
        counted(of.connections, "connection"),
        grouped(of.open_files),
        grouped(of.open_files_max),
        times(of.worker_lateness),
    )
}

fn rpc(of: &Rpc) -> [String; 6] {
    [
        // All services are of one package but for those of gRPC itself.
        of.rpc.strip_prefix("whimbrel.v1.").unwrap_or(&of.rpc).to_owned(),
        rate(of.per_second),
        rate(of.errors_per_second),
        grouped(of.in_flight),
        of.time.p50.map_or_else(blank, time),
        of.time.p99.map_or_else(blank, time),
    ]
}

fn error(of: &CallError) -> [String; 4] {
    let rpc = of.rpc.strip_prefix("whimbrel.v1.").unwrap_or(&of.rpc);
    [of.code.clone(), of.reason.clone(), rpc.to_owned(), rate(of.per_second)]
}

/// Where there is nothing to tell.
fn blank() -> String {
    "–".to_owned()
}

/// The median and the 99th percentile.
fn times(of: Times) -> String {
    match (of.p50, of.p99) {
        (Some(p50), Some(p99)) => format!("{} (p99 {})", time(p50), time(p99)),
        _ => blank(),
    }
}

/// Milliseconds with two digits that matter.
fn time(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 1.0 => format!("{} µs", rounded(short * 1e3)),
        short if short < 10.0 => format!("{short:.1} ms"),
        short if short < 1e3 => format!("{} ms", rounded(short)),
        long => format!("{:.1} s", long / 1e3),
    }
}

/// A number that may be below one.
fn rate(number: f64) -> String {
    if number == 0.0 || number >= 10.0 { rounded(number) } else { format!("{number:.1}") }
}

fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut number, mut at) = (number as f64, 0);
    while number >= 1024.0 && at + 1 < units.len() {
        number /= 1024.0;
        at += 1;
    }
    if at == 0 || number >= 10.0 {
        format!("{} {}", rounded(number), units[at])
    } else {
        format!("{number:.1} {}", units[at])
    }
}

fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
