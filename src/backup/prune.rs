//! Removing old backups, and the segments that no backup needs any more. Never one that a backup needs
//! which is under way: it does nothing then, see running.rs.

use std::collections::HashSet;

use super::destination::ListedObject;
use super::manifest::{self, Manifest, SEGMENTS};
use super::{Destination, Error, running};
use crate::runtime::Clock;

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// The names of the backups.
    pub backups: Vec<String>,
    /// The number of segments.
    pub segments: u64,
}

/// Removes all backups except the newest `keep`, at least one, and then the segments that none has.
///
/// # Errors
/// A backup is under way, or the destination cannot be used. Then no backup that is there lacks anything.
///
/// # Panics
/// `keep` is 0.
pub async fn prune(destination: &Destination, keep: usize, clock: &Clock) -> Result<Pruned, Error> {
    assert!(keep > 0, "the newest backup is always kept");
    running::alone(destination, clock, async || {
        let mut pruned = Pruned::default();
        let mut names = manifest::names(destination).await?;
        let kept = names.split_off(names.len().saturating_sub(keep));
        // First: if a manifest to keep cannot be read, it is not known what it needs.
        let mut needed = HashSet::new();
        for name in &kept {
            let manifest = Manifest::read(destination, name).await?;
            needed.extend(manifest.segments.into_iter().map(|segment| segment.object()));
        }
        for name in names {
            manifest::remove(destination, &name).await?;
            pruned.backups.push(name);
        }
        for ListedObject { name, .. } in destination.list(SEGMENTS).await? {
            let object = format!("{SEGMENTS}/{name}");
            if !needed.contains(&object) {
                destination.remove(&object).await?;
                pruned.segments += 1;
            }
        }
        Ok(pruned)
    })
    .await
}
