//! Sealing a segment: it gets its tables and its foot, and the zeros at its end go. Never changes a
//! frame. Interrupted, the segment is scanned at the next opening, and sealed then.
//!
//! A foot says that the tables before it are complete, and an opening does not read those. So the foot
//! is written once the tables are durable: a power cut may keep any part of one write.

use std::io;

use super::folder::StorageFile;
use super::format::{FOOT_BYTES, Foot, Tables};
use super::segment::ActiveTables;

/// Seals the segment with these tables. It is durable when it returns.
pub(super) fn seal_file(
    file: &dyn StorageFile,
    tables: &ActiveTables,
    salt: u64,
) -> io::Result<Foot> {
    let mut bytes = Vec::new();
    encode_foot(tables, salt, &mut bytes);
    let (encoded_tables, foot) = bytes.split_at(bytes.len() - FOOT_BYTES);
    let foot_at = tables.frames_end + encoded_tables.len() as u64;
    file.write_at(encoded_tables, tables.frames_end)?;
    file.set_bytes(foot_at + foot.len() as u64)?;
    file.sync()?;
    file.write_at(foot, foot_at)?;
    file.sync()?;
    Ok(foot_at_end(&bytes))
}

/// The foot that [`encode_foot`] put at the end of `bytes`.
pub(super) fn foot_at_end(bytes: &[u8]) -> Foot {
    let foot = bytes.last_chunk::<FOOT_BYTES>().and_then(Foot::decode);
    foot.unwrap_or_else(|| unreachable!("an encoded foot is one"))
}

/// Adds the tables and the foot of a segment to `bytes`.
pub(super) fn encode_foot(tables: &ActiveTables, salt: u64, bytes: &mut Vec<u8>) {
    let of_foot = Foot {
        count: 0,
        frames: 0,
        epochs: 0,
        offsets_check: 0,
        epochs_check: 0,
        frames_end: tables.frames_end,
        salt,
        erased_until: tables.erased_until,
        chain: tables.chain,
    };
    let ActiveTables { records, frames, epochs, .. } = tables;
    Tables { records, frames, epochs }.encode(of_foot, bytes);
}
