//! The next segment, made ready before it is needed: zeros, written and flushed. A write into such a
//! file changes nothing but its content, so that one flush makes it durable, and it never lacks
//! room. Never writes to a segment that has events.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder::StorageFile;
use super::segment::{SegmentFiles, file_name};
use crate::storage::error::Error;
use crate::storage::free_space::DiskReserve;

/// Zeros that are written at once.
const ZEROS_BYTES: usize = 256 << 10;
/// A segment has so many times the bytes of the one before, up to the greatest.
const GROWTH: u64 = 4;

/// The first segment has a 64th of the greatest: most logs are small.
const FIRST_SHIFT: u32 = 6;
/// Room for the head and some events.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Sizes of segments, and the room that they leave on the disk.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Free disk space below which appends are refused.
    pub disk_free_bytes_min: u64,
    /// Bytes of a segment, unless one batch needs more. Erasing a post costs so much, and so does
    /// the scan after an unclean stop. The first segments are smaller.
    pub segment_bytes_max: u64,
}

impl LogOptions {
    /// Bytes of the first segment.
    pub(super) fn segment_bytes_first(&self) -> u64 {
        let first = self.segment_bytes_max >> FIRST_SHIFT;
        first.max(SEGMENT_BYTES_MIN).min(self.segment_bytes_max)
    }

    /// Bytes of the segment after one of `bytes`, which is below 4 GiB.
    fn segment_bytes_after(&self, bytes: u64) -> u64 {
        (bytes * GROWTH).min(self.segment_bytes_max)
    }
}

/// A segment of zeros.
#[derive(Debug)]
pub(super) struct PreparedSegment {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) file: Arc<dyn StorageFile>,
}

/// Makes segments ready.
#[derive(Debug)]
pub(super) struct Preparer {
    files: Arc<SegmentFiles>,
    options: LogOptions,
    reserve: DiskReserve,
    /// Held while a segment is made ready, so that a caller waits for it.
    state: Mutex<PreparerState>,
}

#[derive(Debug)]
struct PreparerState {
    ready: Option<PreparedSegment>,
    next_number: u64,
    next_bytes: u64,
}

impl Preparer {
    /// `ready` is a segment of zeros that was found; `segments` that many have events.
    pub(super) fn new(
        files: Arc<SegmentFiles>,
        options: LogOptions,
        ready: Option<PreparedSegment>,
        next_number: u64,
        segments: usize,
    ) -> Self {
        let next_bytes = (0..segments)
            .fold(options.segment_bytes_first(), |bytes, _| options.segment_bytes_after(bytes));
        let reserve = DiskReserve::new(options.disk_free_bytes_min);
        let state = Mutex::new(PreparerState { ready, next_number, next_bytes });
        Self { files, options, reserve, state }
    }

    pub(super) fn disk_reserve(&self) -> DiskReserve {
        self.reserve.clone()
    }

    /// Makes the next segment ready, if none is.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.ready.is_none() {
            let bytes = state.next_bytes;
            state.ready = Some(self.make(&mut state, bytes)?);
        }
        Ok(())
    }

    /// Takes the next segment, with at least `bytes_min`. Makes one if none is ready.
    ///
    /// # Errors
    /// [`Error::DiskFull`]: there is no room for one, and a later call may succeed.
    pub(super) fn take(&self, bytes_min: u64) -> Result<PreparedSegment, Error> {
        let mut state = self.state();
        let ready = match state.ready.take() {
            Some(ready) if ready.bytes >= bytes_min => ready,
            // One batch is larger than a whole segment.
            Some(ready) => {
                self.remove(ready.number)?;
                self.make(&mut state, bytes_min)?
            }
            None => {
                let bytes = state.next_bytes.max(bytes_min);
                self.make(&mut state, bytes)?
            }
        };
        state.next_bytes = self.options.segment_bytes_after(ready.bytes);
        Ok(ready)
    }

    /// Fails with [`Error::DiskFull`] while less than the reserve is free.
    pub(super) fn check_room(&self) -> Result<(), Error> {
        self.bytes_with_room(0).map(drop)
    }

    /// Fails with [`Error::NoRoomForCopy`] if a copy of `bytes` would leave less than the reserve.
    pub(super) fn check_room_for_copy(&self, bytes: u64) -> Result<(), Error> {
        let bytes_needed = self.reserve.bytes().saturating_add(bytes);
        match self.bytes_free()? {
            Some(bytes_free) if bytes_free < bytes_needed => {
                Err(Error::NoRoomForCopy { bytes_free, bytes_needed })
            }
            _ => Ok(()),
        }
    }

    fn make(&self, state: &mut PreparerState, bytes: u64) -> Result<PreparedSegment, Error> {
        let bytes = self.bytes_with_room(bytes)?;
        // A number is used once, even if the file could not be made.
        let number = state.next_number;
        state.next_number += 1;
        match self.write_zeros(number, bytes) {
            Ok(file) => Ok(PreparedSegment { number, bytes, file }),
            Err(error) => {
                // If it cannot be removed the next start does.
                let _ = self.files.folder.remove(&file_name(number));
                Err(match error.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => self.no_room(bytes, None),
                    _ => self.files.failed(number, error),
                })
            }
        }
    }

    /// `bytes`, if the disk has room for them.
    fn bytes_with_room(&self, bytes: u64) -> Result<u64, Error> {
        match self.bytes_free()? {
            Some(free) if free < self.reserve.bytes().saturating_add(bytes) => {
                Err(self.no_room(bytes, Some(free)))
            }
            _ => Ok(bytes),
        }
    }

    fn bytes_free(&self) -> Result<Option<u64>, Error> {
        let folder = &self.files.folder;
        folder.bytes_free().map_err(|error| self.files.folder_failed(error))
    }

    fn no_room(&self, bytes: u64, free: Option<u64>) -> Error {
        Error::DiskFull {
            bytes_free: free.unwrap_or(0),
            bytes_min: self.reserve.bytes().saturating_add(bytes),
        }
    }

    fn write_zeros(&self, number: u64, bytes: u64) -> std::io::Result<Arc<dyn StorageFile>> {
        let folder = &self.files.folder;
        let file = folder.create(&file_name(number))?;
        let zeros = vec![0; ZEROS_BYTES.min(bytes as usize)];
        let mut written = 0;
        while written < bytes {
            let part = &zeros[..zeros.len().min((bytes - written) as usize)];
            file.write_at(part, written)?;
            written += part.len() as u64;
        }
        file.sync()?;
        folder.sync()?;
        Ok(file)
    }

    fn remove(&self, number: u64) -> Result<(), Error> {
        let removed = self.files.folder.remove(&file_name(number));
        removed.map_err(|error| self.files.failed(number, error))
    }

    fn state(&self) -> MutexGuard<'_, PreparerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
