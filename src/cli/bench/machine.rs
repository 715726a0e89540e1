//! What the machine has to say about a measurement: where data lies, how many files may be open,
//! how much memory a process has. Where the machine does not say, nothing is assumed.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors of a process that are not connections: files, epoll, standard streams, and spares.
const OTHER_DESCRIPTORS: u64 = 100;

/// Whether `dir` is in memory, where nothing is ever flushed to a disk.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(dir: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

    // The type's width differs between machines; the numbers fit all.
    rustix::fs::statfs(dir).is_ok_and(|fs| IN_MEMORY.contains(&(fs.f_type as u64)))
}

/// Whether `dir` is in memory, where nothing is ever flushed to a disk. Nobody says so here.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_dir: &Path) -> bool {
    false
}

/// Lets this process, and those that it starts, open as many files as they may. Says whether that
/// is enough for so many connections.
pub(super) fn allow_connections(connections: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    // If it cannot be raised, the old one counts below.
    let _ = setrlimit(Resource::Nofile, raised);
    let files_max = getrlimit(Resource::Nofile).current;
    files_max.is_none_or(|files_max| files_max >= connections + OTHER_DESCRIPTORS)
}

/// The memory that process `pid` has in the machine's, in KiB.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
