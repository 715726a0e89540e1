//! The machine, and the use of it by a process and its children, from `/proc`. A value that is
//! missing there is 0, and never estimated.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::stats::median;

/// The unit of the times in `/proc/PID/stat`: `USER_HZ`, which is 100 on every Linux.
const TICKS_PER_S: f64 = 100.0;
/// Flushes that are timed.
const FLUSHES: usize = 200;

/// How long a process must be idle: it may work in bursts.
const SETTLE_WINDOW: Duration = Duration::from_secs(2);
/// The part of that time in which an idle process may use a processor.
const SETTLE_PART_MAX: f64 = 0.02;
/// Longest wait for an idle process: indexing ten million events takes a minute or two.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(240);

/// The machine of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// Median time of an fdatasync after a write of 200 bytes, on the disk of the data.
    pub(crate) flush_us: f64,
}

impl Machine {
    /// Reads the machine's properties, and times flushes in `dir`.
    pub(crate) fn read(dir: &Path) -> Self {
        let line = |file: &str, key: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim_start_matches([' ', '\t', ':']).to_owned()
        };
        let memory_kib = line("/proc/meminfo", "MemTotal").replace(" kB", "");
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib.parse::<f64>().unwrap_or_default() / f64::from(1 << 20),
            kernel: line("/proc/sys/kernel/osrelease", ""),
            flush_us: flush_us(dir).unwrap_or_default(),
        }
    }
}

fn flush_us(dir: &Path) -> std::io::Result<f64> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let mut times_us = Vec::new();
    for _ in 0..FLUSHES {
        file.write_all(&[b'w'; 200])?;
        let begun = Instant::now();
        file.sync_data()?;
        times_us.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&times_us))
}

/// Raises the limit of open files of this process and its children to the maximum.
pub(crate) fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    // If it cannot be raised, opening too many files fails with an error.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// How many files this process and each of its children may open.
pub(crate) fn files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Memory of the kernel for its own objects and for the buffers of sockets, in bytes.
pub(crate) fn kernel_bytes() -> f64 {
    let number = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let after = text.split_once(key).map(|(_, after)| after.trim_start().to_owned());
        let digits = after.unwrap_or_default();
        digits.split_whitespace().next().and_then(|it| it.parse::<f64>().ok()).unwrap_or_default()
    };
    let buffers = number("/proc/net/sockstat", " mem") * rustix::param::page_size() as f64;
    number("/proc/meminfo", "Slab:") * 1_024.0 + buffers
}

/// Processor time of `root` and its children, including those that have ended.
pub(crate) fn cpu_time(root: u32) -> Duration {
    let ticks: u64 = family(root)
        .iter()
        .filter_map(|pid| {
            let fields = stat_fields(*pid)?;
            // utime, stime and, for children that ended, cutime and cstime.
            let own: u64 =
                fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
            let ended =
                fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?;
            Some(own + ended)
        })
        .sum();
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_S)
}

/// Waits until `root` and its children are nearly idle, as after loading a lot at
/// once.
pub(crate) async fn settled(root: u32) {
    let give_up_at = Instant::now() + SETTLE_TIME_MAX;
    let mut before = cpu_time(root);
    while Instant::now() < give_up_at {
        sleep(SETTLE_WINDOW).await;
        let now = cpu_time(root);
        if now - before < SETTLE_WINDOW.mul_f64(SETTLE_PART_MAX) {
            return;
        }
        before = now;
    }
}

/// Memory of `root` and its children in bytes. Shared pages count once.
pub(crate) fn memory_bytes(root: u32) -> f64 {
    let pss_kib = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    family(root).iter().filter_map(pss_kib).sum::<u64>() as f64 * 1_024.0
}

/// Peak memory of the process `pid` alone, in bytes.
pub(crate) fn memory_peak_bytes(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default();
    kib as f64 * 1_024.0
}

/// `root` and all its descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let parent = pid.and_then(|pid| stat_fields(pid)?.get(1)?.parse().ok());
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(pid) = family.get(at) {
        family.extend(children.get(pid).into_iter().flatten());
        at += 1;
    }
    family
}

/// The fields of `/proc/PID/stat` after the name, from the state on. The name may have any
/// character.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}

/// Bytes on disk of the files below `dir`.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let data = entry.metadata().ok()?;
            Some(if data.is_dir() { disk_bytes(&entry.path()) } else { data.blocks() * 512 })
        })
        .sum()
}
