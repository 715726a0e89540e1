//! The local log passes the conformance suite of all logs.

use std::path::PathBuf;
use std::sync::Arc;

use whimbrel::storage::conformance::{self, LogUnderTest};
use whimbrel::storage::{LocalLog, Log, StorageOptions};

pub(crate) const OPTIONS: StorageOptions =
    StorageOptions { cache_bytes: 4 << 20, disk_free_bytes_min: 0 };

struct Folder {
    dir: PathBuf,
    _kept: tempfile::TempDir,
}

impl LogUnderTest for Folder {
    fn open(&self) -> Arc<dyn Log> {
        Arc::new(LocalLog::open(&self.dir, OPTIONS).unwrap())
    }
}

/// The suite that every implementation of `Log` passes.
#[test]
fn the_local_log_conforms() {
    conformance::check(|| {
        let kept = tempfile::tempdir().unwrap();
        Folder { dir: kept.path().join("data"), _kept: kept }
    });
}
