//! A file that is opened as if to be written, and is not: what redb writes to open it stays in memory.
//! Never changes the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const PAGE_BYTES: usize = 4_096;

/// The file, and what was written over it.
#[derive(Debug)]
pub(super) struct UnwrittenFile {
    file: File,
    /// The length of the file itself.
    file_bytes: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    bytes: u64,
    /// By their number: an opening writes a few pages, whatever the size of the file.
    pages: HashMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl UnwrittenFile {
    pub(super) fn new(file: File) -> Result<Self> {
        let file_bytes = file.metadata()?.len();
        let written = Mutex::new(Written { bytes: file_bytes, pages: HashMap::new() });
        Ok(Self { file, file_bytes, written })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the file; what is after its end is zero.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let there = self.file_bytes.saturating_sub(offset).min(out.len() as u64) as usize;
        let (read, zeros) = out.split_at_mut(there);
        zeros.fill(0);
        self.file.read_exact_at(read, offset)
    }
}

impl StorageBackend for UnwrittenFile {
    fn len(&self) -> Result<u64> {
        Ok(self.written().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_file(offset, out)?;
        let written = self.written();
        for (page, in_page, in_range) in pages(offset, out.len()) {
            if let Some(bytes) = written.pages.get(&page) {
                let length = in_range.len();
                out[in_range].copy_from_slice(&bytes[in_page..in_page + length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.written().bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut written = self.written();
        for (page, in_page, in_range) in pages(offset, data.len()) {
            let bytes = match written.pages.entry(page) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let mut bytes = Box::new([0; PAGE_BYTES]);
                    self.read_file(page * PAGE_BYTES as u64, &mut *bytes)?;
                    new.insert(bytes)
                }
            };
            let data = &data[in_range];
            bytes[in_page..in_page + data.len()].copy_from_slice(data);
        }
        Ok(())
    }
}

/// The pages of `bytes` bytes at `offset`: the number of each, where the bytes begin in it, and which of
/// the bytes they are.
fn pages(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let in_page = (at % PAGE_BYTES as u64) as usize;
        let from = done;
        done = bytes.min(from + PAGE_BYTES - in_page);
        (from < bytes).then(|| (at / PAGE_BYTES as u64, in_page, from..done))
    })
}
