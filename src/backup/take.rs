//! Taking a backup of a running server. Never stores a byte that is not checked, and writes the manifest
//! last: a backup that is interrupted is none.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::manifest::{self, Manifest, ManifestSegment, SEGMENTS};
use super::running::{self, RunningBackup};
use super::{Destination, Error, sha256};
use crate::api::v1;
use crate::client::{self, Client, Retry};
use crate::formats::OtherFormat;
use crate::runtime::Clock;
use crate::storage::{self, CheckedCopy};

/// How long a call is retried: a server that restarts is back within this time.
const RETRY_TIME: Duration = Duration::from_secs(60);
/// How often the list of segments is taken again because one was replaced. A compaction replaces each
/// segment once at most, and is far faster than so many tries.
const LISTS_MAX: u32 = 1_000;
/// The server's reason for a segment that it has no more.
const SEGMENT_REPLACED: &str = "SEGMENT_REPLACED";

/// How to take a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct TakeOptions {
    /// Most bytes a second to read from the server; as fast as possible if not given.
    pub bytes_per_second_max: Option<NonZeroU64>,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug)]
pub struct TakeProgress {
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that have to be read in all.
    pub bytes_all: u64,
}

/// A backup that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What it has.
    pub manifest: Manifest,
    /// Segments that were not at the destination before.
    pub segments_new: u64,
    /// Their bytes.
    pub bytes_new: u64,
}

/// A backup under way.
struct Take<'a> {
    client: &'a Client,
    destination: &'a Destination,
    running: RunningBackup,
    /// By the server's id of a segment: those that are at the destination.
    known: HashMap<String, ManifestSegment>,
    /// The time at which the next bytes may be read.
    pace: Option<(NonZeroU64, Instant)>,
    progress: &'a mut dyn FnMut(TakeProgress),
    at: TakeProgress,
    segments_new: u64,
}

/// The bytes of each object of a segment, by its name.
#[derive(Debug)]
struct SegmentObjects(HashMap<String, u64>);

impl SegmentObjects {
    /// Whether the object of a segment is there, and no part of it is missing.
    fn has(&self, segment: &ManifestSegment) -> bool {
        self.0.get(&segment.object()) == Some(&segment.bytes)
    }
}

/// Takes a backup of the log of a server.
///
/// # Errors
/// The server or the destination cannot be used, or the log of the server is damaged.
pub async fn take(
    client: &Client,
    destination: &Destination,
    options: TakeOptions,
    clock: &Clock,
    progress: &mut dyn FnMut(TakeProgress),
) -> Result<Taken, Error> {
    let known = running::stored_by_others(destination).await?;
    let running = RunningBackup::begin(destination, clock).await?;
    let mut take = Take {
        client,
        destination,
        running,
        known: HashMap::new(),
        pace: options.bytes_per_second_max.map(|rate| (rate, Instant::now())),
        progress,
        at: TakeProgress { bytes_read: 0, bytes_all: 0 },
        segments_new: 0,
    };
    let taken = take.run(known, clock).await;
    let (segments_new, bytes_new) = (take.segments_new, take.at.bytes_read);
    // One that failed is continued by the next: its marker stays, and says what is stored.
    let manifest = taken?;
    take.running.end().await?;
    Ok(Taken { manifest, segments_new, bytes_new })
}

impl Take<'_> {
    async fn run(
        &mut self,
        stored: Vec<ManifestSegment>,
        clock: &Clock,
    ) -> Result<Manifest, Error> {
        self.find_known(stored).await?;
        for _ in 0..LISTS_MAX {
            let request = v1::ListSegmentsRequest {};
            let list = Retry::within(RETRY_TIME);
            let list = list.call(|| self.client.list_segments(request)).await?;
            let Some(segments) = self.take_all(&list).await? else { continue };
            let v1::ListSegmentsResponse { log_id, revision, chain, .. } = list;
            let manifest = Manifest::new(time_now(clock)?, (log_id, revision, chain), segments);
            manifest.write(self.destination).await?;
            self.check_stored(&manifest).await?;
            return Ok(manifest);
        }
        Err(Error::AlwaysReplaced { times: LISTS_MAX })
    }

    /// Finds the segments that are at the destination, whole: of those of the newest backup, and `stored`.
    async fn find_known(&mut self, stored: Vec<ManifestSegment>) -> Result<(), Error> {
        let newest = match manifest::names(self.destination).await?.pop() {
            Some(name) => Manifest::read(self.destination, &name).await?.segments,
            None => Vec::new(),
        };
        let objects = self.objects().await?;
        let found = newest.into_iter().chain(stored);
        let found = found.filter(|segment| objects.has(segment));
        self.known = found.map(|segment| (segment.segment_id.clone(), segment)).collect();
        Ok(())
    }

    /// All objects of segments.
    async fn objects(&self) -> Result<SegmentObjects, Error> {
        let objects = self.destination.list(SEGMENTS).await?.into_iter();
        let bytes = objects.map(|object| (format!("{SEGMENTS}/{}", object.name), object.bytes));
        Ok(SegmentObjects(bytes.collect()))
    }

    /// Takes all segments of the list; `None` if one was replaced meanwhile.
    async fn take_all(
        &mut self,
        list: &v1::ListSegmentsResponse,
    ) -> Result<Option<Vec<ManifestSegment>>, Error> {
        let missing = list.segments.iter().filter(|it| !self.known.contains_key(&it.segment_id));
        self.at.bytes_all = self.at.bytes_read + missing.map(|it| it.bytes).sum::<u64>();
        let mut segments = Vec::new();
        for segment in &list.segments {
            if let Some(known) = self.known.get(&segment.segment_id) {
                segments.push(known.clone());
                continue;
            }
            let Some(bytes) = self.read(segment).await? else { return Ok(None) };
            let taken = self.store(&list.log_id, segment, bytes).await?;
            self.known.insert(taken.segment_id.clone(), taken.clone());
            segments.push(taken);
        }
        Ok(Some(segments))
    }

    /// The bytes of a segment; `None` if it was replaced.
    async fn read(&mut self, segment: &v1::LogSegment) -> Result<Option<Vec<u8>>, Error> {
        let mut retry = Retry::within(RETRY_TIME);
        loop {
            let before = self.at.bytes_read;
            match self.try_read(segment).await {
                Err(Error::Client(client::Error::Call(call)))
                    if call.reason == SEGMENT_REPLACED =>
                {
                    self.at.bytes_read = before;
                    return Ok(None);
                }
                Err(Error::Client(error)) => {
                    self.at.bytes_read = before;
                    retry.wait(error).await?;
                }
                read => return read.map(Some),
            }
        }
    }

    async fn try_read(&mut self, segment: &v1::LogSegment) -> Result<Vec<u8>, Error> {
        let segment_id = segment.segment_id.clone();
        let mut stream = self.client.read_segment(v1::ReadSegmentRequest { segment_id }).await?;
        let mut bytes = Vec::new();
        while let Some(v1::ReadSegmentResponse { data }) = stream.next().await? {
            bytes.extend_from_slice(&data);
            if bytes.len() as u64 > segment.bytes {
                return Err(Error::NotAsListed { what: "it is longer".to_owned() });
            }
            self.at.bytes_read += data.len() as u64;
            (self.progress)(self.at);
            self.keep_pace(data.len() as u64).await;
            self.running.go_on().await?;
        }
        Ok(bytes)
    }

    /// Waits until so many bytes may have been read.
    async fn keep_pace(&mut self, bytes: u64) {
        let Some((rate, next)) = &mut self.pace else { return };
        // Time that was not used does not add up.
        *next =
            (*next).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        sleep_until(*next).await;
    }

    /// Checks and stores the bytes of a segment.
    async fn store(
        &mut self,
        log_id: &str,
        segment: &v1::LogSegment,
        bytes: Vec<u8>,
    ) -> Result<ManifestSegment, Error> {
        let v1::LogSegment { segment_id, first_revision, last_revision, chain, .. } = segment;
        let taken = ManifestSegment {
            segment_id: segment_id.clone(),
            first_revision: *first_revision,
            last_revision: *last_revision,
            bytes: bytes.len() as u64,
            chain: chain.clone(),
            sha256: sha256(&bytes),
        };
        let (name, of) = (taken.object(), taken.clone());
        let log_id = log_id.to_owned();
        let check = move || check_bytes(&name, bytes, &log_id, &of);
        let checked = match tokio::task::spawn_blocking(check).await {
            Ok(checked) => checked.map_err(|error| match error {
                NotUsed::Differs(what) => Error::NotAsListed { what },
                NotUsed::OtherFormat(other) => {
                    let object = "a segment of the server".to_owned();
                    Error::OtherFormat { object, other }
                }
            })?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let bytes = checked.into_bytes();
        self.destination.put(&taken.object(), bytes).await?;
        self.segments_new += 1;
        self.running.stored(taken.clone()).await?;
        Ok(taken)
    }

    /// All segments of the backup are there, now that its manifest is. Only their bytes are counted: each was
    /// checked before it was stored.
    async fn check_stored(&self, manifest: &Manifest) -> Result<(), Error> {
        let objects = self.objects().await?;
        if manifest.segments.iter().all(|segment| objects.has(segment)) {
            return Ok(());
        }
        manifest::remove(self.destination, &manifest.name()).await?;
        Err(Error::SegmentsGone { destination: self.destination.to_string() })
    }
}

/// Why bytes are not used as a segment.
#[derive(Debug)]
pub(super) enum NotUsed {
    /// They are not what they should be: a description.
    Differs(String),
    /// They are of a version that this program does not read.
    OtherFormat(OtherFormat),
}

/// Checks the bytes of a segment, which the manifest describes so. `name` is for errors.
///
/// # Errors
/// They are not used.
pub(super) fn check_bytes(
    name: &str,
    bytes: Vec<u8>,
    log_id: &str,
    described: &ManifestSegment,
) -> Result<CheckedCopy, NotUsed> {
    let differs = |what: String| Err(NotUsed::Differs(what));
    if bytes.len() as u64 != described.bytes {
        return differs(format!(
            "it has {} bytes, and should have {}",
            bytes.len(),
            described.bytes
        ));
    }
    if sha256(&bytes) != described.sha256 {
        return differs("its bytes are not those of its hash".to_owned());
    }
    let copy = CheckedCopy::new(Path::new(name), bytes).map_err(|error| match error {
        storage::Error::OtherFormat { other, .. } => NotUsed::OtherFormat(other),
        error => NotUsed::Differs(error.to_string()),
    })?;
    let (id, first, last, chain) = copy.place();
    let is_same = id.to_string() == log_id
        && first.get() == described.first_revision
        && last.get() == described.last_revision
        && chain.to_string() == described.chain;
    if is_same {
        Ok(copy)
    } else {
        differs("it has other events than its manifest says".to_owned())
    }
}

/// The time in RFC 3339, in whole seconds.
fn time_now(clock: &Clock) -> Result<String, Error> {
    let seconds = running::seconds(clock)?.cast_signed();
    Ok(prost_types::Timestamp { seconds, nanos: 0 }.to_string())
}
