//! The metrics of the process: by the names that Prometheus' clients agree on, what Linux says in `/proc`
//! (elsewhere there are none); and its log.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{Counter, Metric, MetricValue, Scrape};

const CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time of all threads, in user and system mode",
);
const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", &[], "Memory of the process that is in RAM");
const VIRTUAL: Metric =
    Metric::gauge("process_virtual_memory_bytes", &[], "Address space of the process");
const THREADS: Metric = Metric::gauge("process_threads", &[], "Threads of the process");
const OPEN_FILES: Metric =
    Metric::gauge("process_open_fds", &[], "Open files, of which a connection is one");
const FILES_MAX: Metric =
    Metric::gauge("process_max_fds", &[], "The limit of open files (ulimit -n)");
const START: Metric = Metric::gauge(
    "process_start_time_seconds",
    &[],
    "When the process started, in seconds since 1970",
);

const LOST_LOG_LINES: Metric = Metric::counter(
    "whimbrel_log_lines_lost_total",
    &[],
    "Lines of the log that were lost because its reader is slow",
);

/// The fields of `/proc/self/stat` after the name of the program, by their place there (proc(5) counts
/// from 1, and the name is the second).
mod stat {
    pub(super) const USER_TICKS: usize = 14 - 3;
    pub(super) const SYSTEM_TICKS: usize = 15 - 3;
    pub(super) const THREADS: usize = 20 - 3;
    pub(super) const START_TICKS: usize = 22 - 3;
    pub(super) const VIRTUAL_BYTES: usize = 23 - 3;
    pub(super) const RESIDENT_PAGES: usize = 24 - 3;
}

/// The metrics of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Process {
    /// Lines of the log that nobody got. A process has one log, whatever runs in it.
    pub const LOST_LOG_LINES: &'static Counter = {
        static LINES: Counter = Counter::new();
        &LINES
    };

    /// Collects them.
    pub fn collect(self, scrape: &mut Scrape) {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name is in brackets, and may have spaces and brackets itself.
        let fields: Vec<f64> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, fields)| {
            fields.split(' ').map(|field| field.trim().parse().unwrap_or(0.0)).collect()
        });
        let field = |at: usize| fields.get(at).copied();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        let cpu = field(stat::USER_TICKS).zip(field(stat::SYSTEM_TICKS));
        scrape.maybe(&CPU, cpu.map(|(user, system)| (user + system) / ticks));
        scrape.maybe(&RESIDENT, field(stat::RESIDENT_PAGES).map(|pages| pages * page));
        scrape.maybe(&VIRTUAL, field(stat::VIRTUAL_BYTES));
        scrape.maybe(&THREADS, field(stat::THREADS));
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        scrape.maybe(&OPEN_FILES, open);
        let files_max = getrlimit(Resource::Nofile).current;
        scrape.maybe(&FILES_MAX, files_max.map(|max| max as f64));
        let start = booted_at().zip(field(stat::START_TICKS));
        scrape.maybe(&START, start.map(|(booted_at, since)| booted_at + since / ticks));
        let lost = MetricValue::count(Self::LOST_LOG_LINES.get());
        scrape.add(&LOST_LOG_LINES, [([], lost)]);
    }
}

/// When the machine started, in seconds since 1970.
fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok())
}
