//! What a server did between two scrapes, and what it has now. Never prints.

use std::time::Instant;

use serde::Serialize;

use super::samples::{SampleError, Samples};
use crate::runtime::Clock;

/// The samples of a moment.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) samples: Samples,
    pub(super) at: Instant,
}

/// All figures. Rates are of a second, times in milliseconds, and sizes in bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) up_seconds: f64,
    pub(super) interval_seconds: f64,
    pub(super) calls: Calls,
    pub(super) changes: Changes,
    pub(super) streams: Streams,
    pub(super) reads: Reads,
    pub(super) storage: Storage,
    pub(super) process: Process,
    /// Those that were called, the most called first.
    pub(super) rpcs: Vec<Rpc>,
    /// Those that occurred, the most frequent first.
    pub(super) errors: Vec<CallError>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Calls {
    pub(super) per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) quota_refusals_per_second: f64,
    /// Streams among them.
    pub(super) in_flight: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changes {
    pub(super) per_second: f64,
    pub(super) batches_per_second: f64,
    pub(super) flush: Times,
    pub(super) until_applied: Times,
    pub(super) queued: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Streams {
    pub(super) open: u64,
    pub(super) opened_per_second: f64,
    pub(super) deliveries_per_second: f64,
    pub(super) delay: Times,
    pub(super) refills_per_second: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reads {
    pub(super) per_second: f64,
    pub(super) of_disk_per_second: f64,
    pub(super) disk: Times,
    pub(super) waiting: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Storage {
    pub(super) head_revision: u64,
    pub(super) log_bytes: u64,
    pub(super) segments: u64,
    pub(super) free_bytes: u64,
    pub(super) index_lag_revisions: u64,
    pub(super) is_index_usable: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    /// Of one processor: 2 if two are busy.
    pub(super) processors: f64,
    pub(super) memory_bytes: u64,
    pub(super) connections: u64,
    pub(super) open_files: u64,
    pub(super) open_files_max: u64,
    pub(super) worker_lateness: Times,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rpc {
    pub(super) rpc: String,
    pub(super) per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) in_flight: u64,
    pub(super) time: Times,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallError {
    pub(super) rpc: String,
    pub(super) code: String,
    pub(super) reason: String,
    pub(super) per_second: f64,
}

/// The half of a number of times are at most `p50`, and 99 of 100 at most `p99`, as far as buckets tell.
/// `None` if there was none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Two scrapes of one process.
struct Between<'a> {
    before: &'a Scraped,
    after: &'a Scraped,
    seconds: f64,
}

/// The label that tells calls of one RPC from those of another.
const RPC: &str = "rpc";
const STARTED: &str = "process_start_time_seconds";
const CALLS: &str = "whimbrel_calls_total";

impl Scraped {
    /// Whether `other` is of the same process: then its counters go on.
    ///
    /// # Errors
    /// Neither tells.
    pub(super) fn is_of_process(&self, other: &Self) -> Result<bool, SampleError> {
        Ok(self.samples.sum(STARTED, &[])? == other.samples.sum(STARTED, &[])?)
    }
}

impl Figures {
    /// The figures of a process that was scraped twice.
    ///
    /// # Errors
    /// A metric is missing.
    pub(super) fn between(before: &Scraped, after: &Scraped) -> Result<Self, SampleError> {
        // Two scrapes are never in the same nanosecond.
        let seconds = after.at.duration_since(before.at).as_secs_f64().max(1e-9);
        let of = Between { before, after, seconds };
        let info = after.samples.values("whimbrel_build_info", "version")?;
        // The clocks of two machines may differ.
        let now = Clock::system().since_epoch().unwrap_or_default();
        Ok(Self {
            version: info.into_iter().next().unwrap_or_default().to_owned(),
            up_seconds: (now.as_secs_f64() - of.now(STARTED)?).max(0.0),
            interval_seconds: seconds,
            calls: of.calls()?,
            changes: of.changes()?,
            streams: of.streams()?,
            reads: of.reads()?,
            storage: of.storage()?,
            process: of.process()?,
            rpcs: of.rpcs()?,
            errors: of.errors()?,
        })
    }
}

impl Between<'_> {
    fn calls(&self) -> Result<Calls, SampleError> {
        let per_second = self.rate(CALLS, &[])?;
        Ok(Calls {
            per_second,
            errors_per_second: per_second - self.rate(CALLS, &[("code", "OK")])?,
            quota_refusals_per_second: self.rate("whimbrel_quota_refusals_total", &[])?,
            in_flight: self.count("whimbrel_calls_in_flight", &[])?,
        })
    }

    fn changes(&self) -> Result<Changes, SampleError> {
        Ok(Changes {
            per_second: self.rate("whimbrel_commit_batch_events_sum", &[])?,
            batches_per_second: self.rate("whimbrel_commit_batch_events_count", &[])?,
            flush: self.times("whimbrel_commit_flush_seconds", &[])?,
            until_applied: self.times("whimbrel_commit_to_applied_seconds", &[])?,
            queued: self.count("whimbrel_commit_queue_commands", &[])?,
        })
    }

    fn streams(&self) -> Result<Streams, SampleError> {
        Ok(Streams {
            open: self.count("whimbrel_streams_open", &[])?,
            opened_per_second: self.rate("whimbrel_streams_opened_total", &[])?,
            deliveries_per_second: self.rate("whimbrel_deliveries_total", &[])?,
            delay: self.times("whimbrel_delivery_delay_seconds", &[])?,
            refills_per_second: self.rate("whimbrel_stream_refills_total", &[])?,
        })
    }

    fn reads(&self) -> Result<Reads, SampleError> {
        Ok(Reads {
            per_second: self.rate("whimbrel_queries_total", &[])?,
            of_disk_per_second: self.rate("whimbrel_disk_read_duration_seconds_count", &[])?,
            disk: self.times("whimbrel_disk_read_duration_seconds", &[])?,
            waiting: self.count("whimbrel_disk_reads_waiting", &[])?,
        })
    }

    fn storage(&self) -> Result<Storage, SampleError> {
        Ok(Storage {
            head_revision: self.count("whimbrel_log_head_revision", &[])?,
            log_bytes: self.count("whimbrel_log_bytes", &[])?,
            segments: self.count("whimbrel_log_segments", &[])?,
            free_bytes: self.count("whimbrel_disk_free_bytes", &[])?,
            index_lag_revisions: self.count("whimbrel_index_lag_revisions", &[])?,
            is_index_usable: self.now("whimbrel_index_usable")? == 1.0,
        })
    }

    fn process(&self) -> Result<Process, SampleError> {
        Ok(Process {
            processors: self.rate("process_cpu_seconds_total", &[])?,
            memory_bytes: self.count("process_resident_memory_bytes", &[])?,
            connections: self.count("whimbrel_connections_open", &[])?,
            open_files: self.count("process_open_fds", &[])?,
            open_files_max: self.count("process_max_fds", &[])?,
            worker_lateness: self.times("whimbrel_worker_lateness_seconds", &[])?,
        })
    }

    fn rpcs(&self) -> Result<Vec<Rpc>, SampleError> {
        let mut rpcs = Vec::new();
        for rpc in self.after.samples.values(CALLS, RPC)? {
            let of_rpc = (RPC, rpc);
            let per_second = self.rate(CALLS, &[of_rpc])?;
            let in_flight = self.count("whimbrel_calls_in_flight", &[of_rpc])?;
            if per_second == 0.0 && in_flight == 0 {
                continue;
            }
            rpcs.push(Rpc {
                rpc: rpc.to_owned(),
                per_second,
                errors_per_second: per_second - self.rate(CALLS, &[of_rpc, ("code", "OK")])?,
                in_flight,
                time: self.times("whimbrel_call_duration_seconds", &[of_rpc])?,
            });
        }
        rpcs.sort_by(|a, b| {
            let rates = b.per_second.total_cmp(&a.per_second);
            rates.then(b.in_flight.cmp(&a.in_flight)).then(a.rpc.cmp(&b.rpc))
        });
        Ok(rpcs)
    }

    fn errors(&self) -> Result<Vec<CallError>, SampleError> {
        let mut errors = Vec::new();
        for labels in self.after.samples.labels(CALLS, [RPC, "code", "reason"])? {
            let [rpc, code, reason] = labels;
            let per_second = self.rate(CALLS, &[(RPC, rpc), ("code", code), ("reason", reason)])?;
            if code != "OK" && per_second > 0.0 {
                let [rpc, code, reason] = labels.map(str::to_owned);
                errors.push(CallError { rpc, code, reason, per_second });
            }
        }
        errors.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
        Ok(errors)
    }

    fn now(&self, name: &str) -> Result<f64, SampleError> {
        self.after.samples.sum(name, &[])
    }

    /// What is a whole number.
    fn count(&self, name: &str, labels: &[(&str, &str)]) -> Result<u64, SampleError> {
        Ok(self.after.samples.sum(name, labels)? as u64)
    }

    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64, SampleError> {
        let grown =
            self.after.samples.sum(name, labels)? - self.before.samples.sum(name, labels)?;
        Ok(grown / self.seconds)
    }

    /// Of what a histogram of seconds observed between the two.
    fn times(&self, name: &str, labels: &[(&str, &str)]) -> Result<Times, SampleError> {
        let before = self.before.samples.buckets(name, labels)?;
        let mut buckets = self.after.samples.buckets(name, labels)?;
        for (bound, count) in &mut buckets {
            let had = before.iter().find(|(known, _)| known == bound);
            *count -= had.map_or(0.0, |(_, count)| *count);
        }
        let milliseconds = |q| quantile(&buckets, q).map(|seconds| seconds * 1e3);
        Ok(Times { p50: milliseconds(0.5), p99: milliseconds(0.99) })
    }
}

/// The value that the share `q` of the observations does not exceed, taken to be spread evenly in their bucket, as
/// Prometheus does. Above all bounds it is the last bound.
fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = q * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= rank {
            let share = if count > below { (rank - below) / (count - below) } else { 1.0 };
            return Some(if bound.is_finite() { lower + (bound - lower) * share } else { lower });
        }
        (lower, below) = (bound, count);
    }
    Some(lower)
}
