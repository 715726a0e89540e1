//! Reads the lines of a file, plain or compressed with gzip. Never buffers more of a line than
//! [`LINE_BYTES_MAX`].

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::cli::encoding;

/// The longest line: several times a post of 3,000 bytes, all of them escaped.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// Size of the read buffers.
const BUFFER_BYTES: usize = 256 << 10;
/// The first bytes of every gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

pub(super) struct LineReader {
    text: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    bytes_read: Arc<AtomicU64>,
    bytes: u64,
}

/// A line, without its line break and without a byte order mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InputLine<'a> {
    Whole(&'a [u8]),
    /// The line was longer than [`LINE_BYTES_MAX`] and was skipped.
    TooLong,
}

impl LineReader {
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let mut file = File::open(file)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let bytes_read = Arc::new(AtomicU64::new(0));
        // `read_to_end`, because a single read from a pipe may give fewer bytes.
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        let raw = Cursor::new(head).chain(file);
        let raw = CountingReader { raw, read: Arc::clone(&bytes_read) };
        let raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let text: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        Ok(Self { text, line: Vec::new(), number: 0, bytes_read, bytes: metadata.len() })
    }

    /// Size of the file on the disk; 0 for a pipe.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the file that were read, before decompression.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The next line and its number, counted from 1; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, InputLine<'_>)>> {
        self.line.clear();
        let bytes_max = LINE_BYTES_MAX + 1;
        self.text.by_ref().take(bytes_max as u64).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && encoding::is_utf_16(&self.line) {
            let problem = "it is in UTF-16, and only UTF-8 is read: save it as UTF-8";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let line = match self.line.strip_suffix(b"\n") {
            Some(line) => line,
            None if self.line.len() == bytes_max => {
                self.text.skip_until(b'\n')?;
                return Ok(Some((self.number, InputLine::TooLong)));
            }
            None => &self.line,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // On every line: concatenated files have a mark where each of them began.
        Ok(Some((self.number, InputLine::Whole(encoding::without_bom(line)))))
    }
}

/// Counts the bytes that are read through it.
struct CountingReader<R> {
    raw: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.raw.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
