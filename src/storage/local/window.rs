//! Reading bytes in order: of memory, or of a file, of which only a part is in memory at a time.
//! Never writes.

use std::convert::Infallible;
use std::io;

use super::folder::StorageFile;

/// Bytes of a file that are in memory, unless more are asked for at once.
const READ_BYTES: usize = 1 << 20;

/// Bytes to read.
pub(super) trait Bytes {
    /// Why a read fails.
    type Error;

    /// The number of all bytes.
    fn end(&self) -> u64;

    /// `bytes` bytes from `offset` on, fewer if there are no more.
    fn get(&mut self, offset: u64, bytes: usize) -> Result<&[u8], Self::Error>;
}

/// The bytes of a file.
pub(super) struct Window<'a> {
    file: &'a dyn StorageFile,
    end: u64,
    /// The offset of `bytes`.
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn StorageFile) -> io::Result<Self> {
        Ok(Self::until(file, file.bytes()?))
    }

    /// Of the bytes before `end` alone. A file that is being sealed gets shorter after its frames.
    pub(super) fn until(file: &'a dyn StorageFile, end: u64) -> Self {
        Self { file, end, start: 0, bytes: Vec::new() }
    }
}

impl Bytes for Window<'_> {
    type Error = io::Error;

    fn end(&self) -> u64 {
        self.end
    }

    fn get(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let rest = self.end.saturating_sub(offset);
        let bytes = rest.min(bytes as u64) as usize;
        if bytes == 0 {
            return Ok(&[]);
        }
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + bytes as u64 > end {
            self.bytes.resize(rest.min(bytes.max(READ_BYTES) as u64) as usize, 0);
            self.start = offset;
            if let Err(error) = self.file.read_at(&mut self.bytes, offset) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + bytes])
    }
}

impl Bytes for &[u8] {
    type Error = Infallible;

    fn end(&self) -> u64 {
        self.len() as u64
    }

    fn get(&mut self, offset: u64, bytes: usize) -> Result<&[u8], Infallible> {
        let rest = &self[offset.min(self.end()) as usize..];
        Ok(&rest[..rest.len().min(bytes)])
    }
}
