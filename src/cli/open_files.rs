//! The limit of open files of this process. Never lowers it.

use rustix::process::{Resource, getrlimit, setrlimit};

/// File descriptors of a process for other uses than connections: files, epoll, standard streams,
/// and spares.
const OTHER_DESCRIPTORS: u64 = 100;

/// Raises the limit of this process and its children as far as the system lets it. Gives the number
/// of connections that it is enough for.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    // If this fails, the old limit is read below.
    let _ = setrlimit(Resource::Nofile, raised);
    let files_max = getrlimit(Resource::Nofile).current;
    files_max.map_or(u64::MAX, |files_max| files_max.saturating_sub(OTHER_DESCRIPTORS))
}
