//! `whimbrel probe-index`, which `serve` runs: opens an index file, and dies of it or not.
//!
//! It prints nothing. Only how it ends says something.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::storage;

/// Open an index file and end, or die of it.
#[derive(Args, Debug)]
pub(super) struct ProbeIndex {
    /// The file.
    file: PathBuf,
}

impl ProbeIndex {
    /// The verb, as it is called.
    pub(super) const NAME: &str = "probe-index";

    pub(super) fn run(&self) {
        // It is no use to anybody without whoever started it, and holds the file as long as it lives.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // Nobody wants to know how it died.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // An error is found again, and reported, by whoever opens the file next.
        let _ = storage::probe_index(&self.file);
    }
}
