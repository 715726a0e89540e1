//! The limit of open files of this process. Never lowers it.

use rustix::process::{Resource, getrlimit, setrlimit};

/// File descriptors of a process for other uses than connections: files, epoll, standard streams,
/// and spares.
const OTHER_DESCRIPTORS: u64 = 100;

/// Raises the limit of this process and its children as far as the system lets it, and gives the
/// limit if that is too low for `connections` connections.
pub(super) fn too_few_for(connections: u64) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    // If this fails, the old limit is read below.
    let _ = setrlimit(Resource::Nofile, raised);
    let files_max = getrlimit(Resource::Nofile).current;
    files_max.filter(|&files_max| files_max < connections + OTHER_DESCRIPTORS)
}
