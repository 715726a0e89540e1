//! Facts about the machine: whether a folder is in memory, how much memory and processor time a
//! process uses. Never guesses a fact that the operating system does not give.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Whether `dir` is in memory, where nothing is ever flushed to a disk.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(dir: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

    // The width of the type differs between machines. The values fit all of them.
    rustix::fs::statfs(dir).is_ok_and(|fs| IN_MEMORY.contains(&(fs.f_type as u64)))
}

/// Whether `dir` is in memory, where nothing is ever flushed to a disk. Unknown on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_dir: &Path) -> bool {
    false
}

/// The resident memory of process `pid`, in KiB.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The processor time that process `pid` has used, by all its threads.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 and 15 of proc_pid_stat(5), counted from the state, which is field 3: the name before
    // it may have spaces.
    let (_, from_state) = stat.rsplit_once(") ")?;
    let mut fields = from_state.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}
