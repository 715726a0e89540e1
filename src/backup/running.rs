//! Markers of what is done to a destination at the moment. A backup and a prune each write theirs first,
//! and look for the other's then: at least one sees the other, and goes no further.
//!
//! The marker of a backup also has the segments that it has stored, so that the next one need not read them
//! again if this one is killed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::destination::ListedObject;
use super::manifest::{BACKUPS, ManifestSegment, SEGMENTS};
use super::{Destination, Error};
use crate::runtime::Clock;

const RUNNING: &str = "running";
const PRUNING: &str = "pruning.json";
/// The time after which a backup writes its marker again.
pub(super) const BEAT_INTERVAL: Duration = Duration::from_secs(60);
/// A backup whose marker is older was killed. Many times the interval, as two machines with clocks that
/// differ by minutes may be at work.
const DEAD_AFTER: Duration = Duration::from_secs(15 * 60);

/// A backup under way.
#[derive(Debug)]
pub(super) struct RunningBackup {
    destination: Destination,
    object: String,
    clock: Clock,
    /// When the marker was written, in the clock's elapsed time.
    beaten: Duration,
    stored: Vec<ManifestSegment>,
}

/// The content of a backup's marker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    /// When it was written, in seconds since 1970.
    time_seconds: u64,
    /// What the backup has stored.
    stored: Vec<ManifestSegment>,
}

impl RunningBackup {
    /// Begins a backup.
    pub(super) async fn begin(destination: &Destination, clock: &Clock) -> Result<Self, Error> {
        let object = format!("{RUNNING}/{:016x}.json", fastrand::u64(..));
        let (destination, clock) = (destination.clone(), clock.clone());
        let (beaten, stored) = (clock.elapsed(), Vec::new());
        let mut running = Self { destination, object, clock, beaten, stored };
        running.beat().await?;
        let destination = &running.destination;
        if destination.get(PRUNING).await?.is_some() {
            destination.remove(&running.object).await?;
            return Err(Error::Pruning { destination: destination.to_string() });
        }
        Ok(running)
    }

    /// Notes a segment that is stored.
    pub(super) async fn stored(&mut self, segment: ManifestSegment) -> Result<(), Error> {
        self.stored.push(segment);
        self.beat().await
    }

    /// Shows that the backup goes on, if it is time.
    pub(super) async fn go_on(&mut self) -> Result<(), Error> {
        if self.clock.elapsed().saturating_sub(self.beaten) >= BEAT_INTERVAL {
            self.beat().await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Error> {
        let marker = Marker { time_seconds: seconds(&self.clock)?, stored: self.stored.clone() };
        self.destination.put(&self.object, encode(&marker)).await?;
        self.beaten = self.clock.elapsed();
        Ok(())
    }

    /// Ends the backup.
    pub(super) async fn end(self) -> Result<(), Error> {
        Ok(self.destination.remove(&self.object).await?)
    }
}

/// What backups have stored that are under way or were killed.
pub(super) async fn stored_by_others(
    destination: &Destination,
) -> Result<Vec<ManifestSegment>, Error> {
    let mut stored = Vec::new();
    for (_, marker) in markers(destination).await? {
        stored.extend(marker.stored);
    }
    Ok(stored)
}

/// Runs `prune` while no backup is under way, and none begins.
pub(super) async fn alone<T>(
    destination: &Destination,
    clock: &Clock,
    prune: impl AsyncFnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    if destination.get(PRUNING).await?.is_some() {
        return Err(Error::Pruning { destination: destination.to_string() });
    }
    destination.put(PRUNING, b"{}".to_vec()).await?;
    let pruned = async {
        for (object, marker) in markers(destination).await? {
            if !is_dead(&marker, seconds(clock)?) {
                let destination = destination.to_string();
                return Err(Error::BackupRunning { destination, marker: object });
            }
            destination.remove(&object).await?;
        }
        for part in [RUNNING, SEGMENTS, BACKUPS] {
            destination.remove_unfinished(part).await?;
        }
        prune().await
    };
    let pruned = pruned.await;
    destination.remove(PRUNING).await?;
    pruned
}

async fn markers(destination: &Destination) -> Result<Vec<(String, Marker)>, Error> {
    let mut markers = Vec::new();
    for ListedObject { name, .. } in destination.list(RUNNING).await? {
        let object = format!("{RUNNING}/{name}");
        // It may have ended meanwhile.
        let Some(bytes) = destination.get(&object).await? else { continue };
        let marker = serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
            object: destination.object(&object),
            what: error.to_string(),
        })?;
        markers.push((object, marker));
    }
    Ok(markers)
}

fn is_dead(marker: &Marker, now_seconds: u64) -> bool {
    // One from the future is of a clock that is ahead.
    now_seconds.saturating_sub(marker.time_seconds) > DEAD_AFTER.as_secs()
}

fn encode(marker: &Marker) -> Vec<u8> {
    serde_json::to_vec(marker).unwrap_or_else(|_| unreachable!("it has texts and numbers only"))
}

/// Seconds since 1970.
pub(super) fn seconds(clock: &Clock) -> Result<u64, Error> {
    Ok(clock.since_epoch().ok_or(Error::Clock)?.as_secs())
}
