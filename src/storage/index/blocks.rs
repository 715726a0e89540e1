//! Blocks with checksums under the index's database. The checksum of a block covers its number, so
//! a read gives the bytes that were written there last, or an error.
//!
//! ```text
//!   file      checks │ block 0 │ block 1 │ … │ block 1021 │ checks │ block 1022 │ …
//!   checks    magic (8 B) │ CRC-32 (4 B) of each block that follows; 0 for a block never written
//!   block 0   one sector (512 B): redb's header (508 B) │ its CRC-32 (4 B)
//! ```
//!
//! redb has checksums of its own, but verifies them only when it repairs a file: a search that
//! follows a damaged page finds nothing and reports no error. Crash safety stays as without this
//! layer: redb overwrites no block that a commit still needs except the header, which is one
//! sector; and its flush before a commit switches to new blocks also flushes their checksums.
//!
//! It never reads a table and never repairs a block.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use redb::StorageBackend;

use crate::formats::INDEX_BLOCKS;

/// redb's page size. redb reads and writes multiples of it.
const BLOCK_BYTES: u64 = 4_096;
/// The first bytes of each block of checks.
pub(super) const MAGIC: [u8; 8] = *b"whimblk1";
const _: () = assert!(INDEX_BLOCKS.version == 1, "the last byte says the version");
const CHECK_BYTES: u64 = 4;
/// Blocks of one group: their checks share one block.
const GROUP_BLOCKS: u64 = (BLOCK_BYTES - MAGIC.len() as u64) / CHECK_BYTES;
/// A disk writes a sector whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Space for redb's header, which has 320 bytes.
const HEADER_BYTES: usize = SECTOR_BYTES - CHECK_BYTES as usize;

/// A storage backend that verifies the checksum of each block that it reads.
pub(super) struct CheckedBlocks<S> {
    storage: S,
    damage: Damage,
}

/// The first damage that was found. Clones share it.
///
/// redb stops using a storage backend after its first error, and later errors do not repeat it.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage(Arc<OnceLock<String>>);

impl Damage {
    /// The first damage; `None` if none was found.
    pub(super) fn found(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn record(&self, what: String) -> Error {
        Error::new(ErrorKind::InvalidData, self.0.get_or_init(|| what).as_str())
    }
}

impl<S: StorageBackend> CheckedBlocks<S> {
    /// The blocks in `storage`, which may be empty.
    pub(super) fn new(storage: S, damage: Damage) -> Self {
        Self { storage, damage }
    }

    fn read_header(&self, range: Range<usize>, out: &mut [u8]) -> Result<()> {
        let mut sector = [0; SECTOR_BYTES];
        self.storage.read(offset_of(0), &mut sector)?;
        let (header, check) = sector.split_at(HEADER_BYTES);
        if check != check_of(0, header) {
            return Err(self.damage.record("its header fails its check".to_owned()));
        }
        out.copy_from_slice(header.get(range).ok_or_else(unaligned)?);
        Ok(())
    }

    fn write_header(&self, data: &[u8]) -> Result<()> {
        let mut sector = [0; SECTOR_BYTES];
        let (header, check) = sector.split_at_mut(HEADER_BYTES);
        header.get_mut(..data.len()).ok_or_else(unaligned)?.copy_from_slice(data);
        check.copy_from_slice(&check_of(0, header));
        self.storage.write(offset_of(0), &sector)
    }

    /// Reads consecutive blocks of one group, from `first` on.
    fn read_run(&self, first: u64, out: &mut [u8]) -> Result<()> {
        self.storage.read(offset_of(first), out)?;
        let mut checks = vec![0; out.len() / BLOCK_BYTES as usize * CHECK_BYTES as usize];
        self.storage.read(offset_of_check(first), &mut checks)?;
        let checks = checks.chunks(CHECK_BYTES as usize);
        for ((block, data), check) in (first..).zip(out.chunks(BLOCK_BYTES as usize)).zip(checks) {
            if check != check_of(block, data) {
                return Err(self.damage.record(format!("its block {block} fails its check")));
            }
        }
        Ok(())
    }

    /// Writes consecutive blocks of one group, from `first` on.
    fn write_run(&self, first: u64, data: &[u8]) -> Result<()> {
        let blocks = (first..).zip(data.chunks(BLOCK_BYTES as usize));
        let checks: Vec<u8> = blocks.flat_map(|(block, data)| check_of(block, data)).collect();
        self.storage.write(offset_of(first), data)?;
        self.storage.write(offset_of_check(first), &checks)
    }
}

impl<S: StorageBackend> StorageBackend for CheckedBlocks<S> {
    fn len(&self) -> Result<u64> {
        let blocks = self.storage.len()? / BLOCK_BYTES;
        let (groups, rest) = (blocks / (GROUP_BLOCKS + 1), blocks % (GROUP_BLOCKS + 1));
        Ok((groups * GROUP_BLOCKS + rest.max(1) - 1) * BLOCK_BYTES)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match usize::try_from(offset) {
            Ok(from) if from < HEADER_BYTES => self.read_header(from..from + out.len(), out),
            _ => {
                let mut rest = out;
                for (first, bytes) in runs(offset, rest.len())? {
                    let (run, others) = rest.split_at_mut(bytes);
                    self.read_run(first, run)?;
                    rest = others;
                }
                Ok(())
            }
        }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let is_new = len > 0 && self.storage.len()? == 0;
        let blocks = len.div_ceil(BLOCK_BYTES);
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        self.storage.set_len((blocks + groups) * BLOCK_BYTES)?;
        if is_new { self.storage.write(0, &MAGIC) } else { Ok(()) }
    }

    fn sync_data(&self) -> Result<()> {
        self.storage.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        if offset == 0 {
            return self.write_header(data);
        }
        let mut rest = data;
        for (first, bytes) in runs(offset, data.len())? {
            let (run, others) = rest.split_at(bytes);
            self.write_run(first, run)?;
            rest = others;
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.storage.close()
    }
}

impl<S> fmt::Debug for CheckedBlocks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedBlocks({:?})", self.damage.found())
    }
}

/// Splits whole blocks at `offset` into runs of one group each: the first block, and the bytes.
fn runs(offset: u64, bytes: usize) -> Result<impl Iterator<Item = (u64, usize)>> {
    let (first, count) = (offset / BLOCK_BYTES, bytes as u64 / BLOCK_BYTES);
    let is_whole = |bytes: u64| bytes.is_multiple_of(BLOCK_BYTES);
    if !is_whole(offset) || !is_whole(bytes as u64) || first == 0 {
        return Err(unaligned());
    }
    let end = first + count;
    let mut next = first;
    Ok(std::iter::from_fn(move || {
        let first = next;
        next = end.min((first / GROUP_BLOCKS + 1) * GROUP_BLOCKS);
        // The cast is lossless: no run is longer than `bytes`.
        (first < end).then(|| (first, ((next - first) * BLOCK_BYTES) as usize))
    }))
}

/// The offset of a block in the file.
fn offset_of(block: u64) -> u64 {
    (block + block / GROUP_BLOCKS + 1) * BLOCK_BYTES
}

/// The offset of a block's check in the file.
fn offset_of_check(block: u64) -> u64 {
    let group = block / GROUP_BLOCKS * (GROUP_BLOCKS + 1) * BLOCK_BYTES;
    group + MAGIC.len() as u64 + block % GROUP_BLOCKS * CHECK_BYTES
}

/// The check of a block with `data`. Never 0, which stands for a block never written.
fn check_of(block: u64, data: &[u8]) -> [u8; CHECK_BYTES as usize] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.update(data);
    hasher.finalize().max(1).to_le_bytes()
}

/// redb asked for a part of a block: another version of redb than this layer was written for.
fn unaligned() -> Error {
    Error::new(ErrorKind::InvalidInput, "only whole blocks and the header are read and written")
}
