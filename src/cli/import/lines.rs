//! Lines of a file, plain or compressed with gzip. Never holds more of a line than a row may have.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::cli::encoding;

/// The longest line: a post of 3,000 bytes, every one of them escaped, several times over.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// What is read from the disk at once.
const BUFFER_BYTES: usize = 256 << 10;
/// How every gzip file begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The lines of one file.
pub(super) struct Lines {
    text: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    bytes_read: Arc<AtomicU64>,
    bytes: u64,
}

/// One line, without the end that marks it and without a byte order mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than [`LINE_BYTES_MAX`], and was skipped.
    TooLong,
}

impl Lines {
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let mut file = File::open(file)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let bytes_read = Arc::new(AtomicU64::new(0));
        // A pipe can give less than was asked for, but not this way.
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        let raw = Counted { raw: Cursor::new(head).chain(file), read: Arc::clone(&bytes_read) };
        let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let text: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        Ok(Self { text, line: Vec::new(), number: 0, bytes_read, bytes: metadata.len() })
    }

    /// How large the file is, as it lies on the disk; 0 if it is a pipe.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much of the file was read, as it lies on the disk.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The next line and its number, counted from 1; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let bytes_max = LINE_BYTES_MAX + 1;
        self.text.by_ref().take(bytes_max as u64).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && encoding::is_utf_16(&self.line) {
            let said = "it is in UTF-16, and only UTF-8 is read: save it as UTF-8";
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        let line = match self.line.strip_suffix(b"\n") {
            Some(line) => line,
            None if self.line.len() == bytes_max => {
                self.text.skip_until(b'\n')?;
                return Ok(Some((self.number, Line::TooLong)));
            }
            None => &self.line,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // At any line: files that were put together have a mark where each began.
        Ok(Some((self.number, Line::Whole(encoding::unmarked(line)))))
    }
}

/// Counts what is read through it.
struct Counted<R> {
    raw: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.raw.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
