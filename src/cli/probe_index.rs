//! `whimbrel probe-index`, which `serve` runs in another process: opens an index file, which may
//! kill the process. Its end is its result. Never prints.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::storage;

/// Open an index file and end. A damaged file may kill the process.
#[derive(Args, Debug)]
pub(super) struct ProbeIndexArgs {
    /// The file.
    file: PathBuf,
}

impl ProbeIndexArgs {
    /// The name of the verb.
    pub(super) const NAME: &str = "probe-index";

    pub(super) fn run(&self) {
        // Without its parent it has no use, and it locks the file.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // No core dump: a crash is an expected result.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // The server meets and reports the same error when it opens the file.
        let _ = storage::probe_index(&self.file);
    }
}
