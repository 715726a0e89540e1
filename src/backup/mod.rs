//! Backups of a log: taken from a running server over the network, kept in a folder or a bucket, checked,
//! pruned and restored. Never changes what a server has.
//!
//! ```text
//!   DEST/
//!   ├── segments/<sha256>.seg                 the bytes of a segment, named by their hash
//!   ├── backups/<time>-<revision>.json        the manifest of a backup: all its segments; written last
//!   ├── running/<random>.json                 a backup under way, or one that was killed
//!   └── pruning.json                          exists while a prune removes segments
//! ```
//!
//! A later backup adds only the segments that are not there, so each backup is whole by itself and costs
//! what has changed.

mod check;
mod destination;
mod error;
mod folder;
mod http;
mod manifest;
mod prune;
mod restore;
mod running;
mod s3;
mod take;

pub use check::{CheckReport, check};
pub use destination::{Destination, DestinationError};
pub use error::Error;
pub use manifest::{Manifest, ManifestSegment, manifests};
pub use prune::{Pruned, prune};
pub use restore::{RestoreUntil, restore};
pub use s3::Bucket;
pub use take::{TakeOptions, TakeProgress, Taken, take};

use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes`, in lower-case hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
