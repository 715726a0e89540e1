//! Notices that a file was changed or replaced, as an operator does with keys and certificates.
//! Never reads the file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is looked at from time to time.
#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What differs between two versions of a file: the device and inode, the length, and the time of
/// the last change in seconds and nanoseconds. That of its content or of its mode, because a secret is
/// refused until its mode is right.
type Stamp = (u64, u64, u64, i64, i64);

impl WatchedFile {
    /// Watches the file at `path`, which may be missing, from its present version on.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = stamp(&path);
        Self { path, seen }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another than at the last call, or than when it was first watched. Also if
    /// it is missing now, or was before.
    pub fn has_changed(&mut self) -> bool {
        let now = stamp(&self.path);
        std::mem::replace(&mut self.seen, now) != now
    }
}

/// `None` if the file cannot be looked at.
fn stamp(path: &Path) -> Option<Stamp> {
    let it = fs::metadata(path).ok()?;
    Some((it.dev(), it.ino(), it.len(), it.ctime(), it.ctime_nsec()))
}
