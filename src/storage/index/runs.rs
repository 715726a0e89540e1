//! Rows of a write that are too many for memory: the newest are in a map, the others in sorted runs on
//! the disk, which are merged when the rows are written.
//!
//! ```text
//!   insert ──▶ recent: a map ── spill ──▶ run n       each run is sorted, in a file without a name
//!                                         run n - 1
//!                                         …           of rows with one key, that of the newest run counts
//! ```
//!
//! Each block of a run has a checksum in memory: what a run has is made into rows with checks of their
//! own, which would be right for wrong values. Never decides when to spill.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;

/// Rows that are read from a run at once when one of them is searched.
const BLOCK_ROWS: usize = 128;
/// Blocks that are read at once when all rows are read.
const READ_BLOCKS: usize = 32;
/// Fewer rows than this stay in memory: a run makes every search slower.
const RUN_ROWS_MIN: usize = BLOCK_ROWS;

/// A key or a value of a fixed number of bytes.
pub(super) trait Fixed: Copy {
    const BYTES: usize;

    /// Appends its bytes.
    fn put(self, out: &mut Vec<u8>);

    /// The value of [`Fixed::BYTES`] bytes.
    fn from_bytes(bytes: &[u8]) -> Self;
}

/// Implements [`Fixed`] for numbers.
macro_rules! fixed {
    ($($number:ty)*) => {$(
        impl Fixed for $number {
            const BYTES: usize = size_of::<Self>();

            fn put(self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn from_bytes(bytes: &[u8]) -> Self {
                let mut number = [0; size_of::<Self>()];
                number.copy_from_slice(bytes);
                Self::from_le_bytes(number)
            }
        }
    )*};
}

fixed!(u8 u32 u64 u128);

impl Fixed for () {
    const BYTES: usize = 0;

    fn put(self, _: &mut Vec<u8>) {}

    fn from_bytes(_: &[u8]) -> Self {}
}

impl<T: Fixed + Default> Fixed for Option<T> {
    const BYTES: usize = u8::BYTES + T::BYTES;

    fn put(self, out: &mut Vec<u8>) {
        u8::from(self.is_some()).put(out);
        self.unwrap_or_default().put(out);
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (is_some, value) = bytes.split_at(u8::BYTES);
        (is_some != [0]).then(|| T::from_bytes(value))
    }
}

impl<A: Fixed, B: Fixed> Fixed for (A, B) {
    const BYTES: usize = A::BYTES + B::BYTES;

    fn put(self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (a, b) = bytes.split_at(A::BYTES);
        (A::from_bytes(a), B::from_bytes(b))
    }
}

impl<A: Fixed, B: Fixed, C: Fixed> Fixed for (A, B, C) {
    const BYTES: usize = A::BYTES + B::BYTES + C::BYTES;

    fn put(self, out: &mut Vec<u8>) {
        ((self.0, self.1), self.2).put(out);
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let ((a, b), c) = Fixed::from_bytes(bytes);
        (a, b, c)
    }
}

/// A map from keys to values, of which the larger part may be on the disk.
#[derive(Debug)]
pub(super) struct SpilledMap<K, V> {
    recent: BTreeMap<K, V>,
    /// Oldest first.
    runs: Vec<Run<K, V>>,
}

/// Rows in a file, sorted by key, each key once.
#[derive(Debug)]
struct Run<K, V> {
    file: File,
    rows: usize,
    /// Of [`BLOCK_ROWS`] rows each.
    blocks: Vec<Block<K>>,
    values: PhantomData<V>,
}

#[derive(Debug)]
struct Block<K> {
    first: K,
    /// The CRC-32 of its bytes.
    check: u32,
}

/// All rows of a run, in order.
struct RunRows<'a, K, V> {
    run: &'a Run<K, V>,
    /// The next block to read.
    block: usize,
    /// Blocks to read at once.
    blocks_at_once: usize,
    read: Vec<u8>,
    /// The next row in `read`.
    at: usize,
}

/// The rows of several sorted sources as one: of rows with one key, that of the last source.
struct MergedRows<'a, K, V> {
    sources: Vec<SortedRows<'a, K, V>>,
    /// The next row of each source.
    heads: Vec<Option<(K, V)>>,
}

type SortedRows<'a, K, V> = Box<dyn Iterator<Item = io::Result<(K, V)>> + 'a>;

impl<K, V> Default for SpilledMap<K, V> {
    fn default() -> Self {
        Self { recent: BTreeMap::new(), runs: Vec::new() }
    }
}

impl<K: Fixed + Ord, V: Fixed> SpilledMap<K, V> {
    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.recent.insert(key, value);
    }

    /// The value of a key; `None` if it was never set.
    pub(super) fn get(&self, key: K) -> io::Result<Option<V>> {
        if let Some(&value) = self.recent.get(&key) {
            return Ok(Some(value));
        }
        for run in self.runs.iter().rev() {
            if let Some(value) = run.get(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The rows of a few keys.
    pub(super) fn range(&self, keys: RangeInclusive<K>) -> io::Result<BTreeMap<K, V>> {
        let mut found = BTreeMap::new();
        for run in &self.runs {
            for row in run.rows_from(*keys.start()) {
                let (key, value) = row?;
                if key > *keys.end() {
                    break;
                }
                if key >= *keys.start() {
                    found.insert(key, value);
                }
            }
        }
        found.extend(self.recent.range(keys).map(|(&key, &value)| (key, value)));
        Ok(found)
    }

    /// All rows by rising keys, each key once.
    pub(super) fn iter(&self) -> impl Iterator<Item = io::Result<(K, V)>> + '_ {
        let runs = self.runs.iter().map(|run| Box::new(run.rows()) as SortedRows<'_, K, V>);
        let recent = self.recent.iter().map(|(&key, &value)| Ok((key, value)));
        MergedRows::new(runs.chain([Box::new(recent) as SortedRows<'_, K, V>]).collect())
    }

    /// The memory that it takes, as an estimate.
    pub(super) fn bytes(&self) -> usize {
        // Nodes of the tree are two thirds full.
        let recent = self.recent.len() * size_of::<(K, V)>() * 3 / 2;
        recent + self.runs.iter().map(|run| run.blocks.len() * size_of::<Block<K>>()).sum::<usize>()
    }

    /// Moves the rows in memory into a run in `new_file()`, unless they are few.
    pub(super) fn spill(&mut self, new_file: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        if self.recent.len() >= RUN_ROWS_MIN {
            let run = Run::write(new_file()?, &self.recent)?;
            self.runs.push(run);
            self.recent.clear();
        }
        Ok(())
    }
}

impl<K: Fixed + Ord, V: Fixed> Run<K, V> {
    const ROW_BYTES: usize = K::BYTES + V::BYTES;
    const BLOCK_BYTES: usize = BLOCK_ROWS * Self::ROW_BYTES;

    fn write(file: File, rows: &BTreeMap<K, V>) -> io::Result<Self> {
        let mut blocks = Vec::with_capacity(rows.len().div_ceil(BLOCK_ROWS));
        let mut writer = BufWriter::with_capacity(READ_BLOCKS * Self::BLOCK_BYTES, file);
        let mut left = rows.iter().peekable();
        let mut bytes = Vec::with_capacity(Self::BLOCK_BYTES);
        while let Some(&(&first, _)) = left.peek() {
            bytes.clear();
            for (&key, &value) in left.by_ref().take(BLOCK_ROWS) {
                key.put(&mut bytes);
                value.put(&mut bytes);
            }
            debug_assert_eq!(bytes.len() % Self::ROW_BYTES, 0, "rows have one length");
            writer.write_all(&bytes)?;
            blocks.push(Block { first, check: crc32fast::hash(&bytes) });
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, rows: rows.len(), blocks, values: PhantomData })
    }

    fn get(&self, key: K) -> io::Result<Option<V>> {
        let Some(block) = self.block_of(key) else { return Ok(None) };
        let bytes = self.read(block, 1)?;
        let (mut low, mut high) = (0, bytes.len() / Self::ROW_BYTES);
        while low < high {
            let middle = (low + high) / 2;
            let row = &bytes[middle * Self::ROW_BYTES..][..Self::ROW_BYTES];
            match K::from_bytes(&row[..K::BYTES]).cmp(&key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(V::from_bytes(&row[K::BYTES..]))),
            }
        }
        Ok(None)
    }

    /// The block that has `key` if any has; `None` if no row is that low.
    fn block_of(&self, key: K) -> Option<usize> {
        self.blocks.partition_point(|block| block.first <= key).checked_sub(1)
    }

    fn rows(&self) -> RunRows<'_, K, V> {
        RunRows { run: self, block: 0, blocks_at_once: READ_BLOCKS, read: Vec::new(), at: 0 }
    }

    /// All rows from `key` on, after at most a block of lower ones. For the few first of them.
    fn rows_from(&self, key: K) -> RunRows<'_, K, V> {
        RunRows { block: self.block_of(key).unwrap_or(0), blocks_at_once: 1, ..self.rows() }
    }

    /// The bytes of at most `count` blocks.
    fn read(&self, block: usize, count: usize) -> io::Result<Vec<u8>> {
        let rows = (count * BLOCK_ROWS).min(self.rows - block * BLOCK_ROWS);
        let mut bytes = vec![0; rows * Self::ROW_BYTES];
        self.file.read_exact_at(&mut bytes, (block * Self::BLOCK_BYTES) as u64)?;
        let mut read = bytes.chunks(Self::BLOCK_BYTES).zip(&self.blocks[block..]);
        match read.all(|(bytes, block)| crc32fast::hash(bytes) == block.check) {
            true => Ok(bytes),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a temporary file has other bytes than were written to it",
            )),
        }
    }
}

impl<K: Fixed + Ord, V: Fixed> Iterator for RunRows<'_, K, V> {
    type Item = io::Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let row_bytes = Run::<K, V>::ROW_BYTES;
        if self.at == self.read.len() && self.block < self.run.blocks.len() {
            match self.run.read(self.block, self.blocks_at_once) {
                Ok(bytes) => self.read = bytes,
                Err(error) => return Some(Err(error)),
            }
            self.block += self.blocks_at_once;
            self.at = 0;
        }
        let (key, value) = self.read.get(self.at..self.at + row_bytes)?.split_at(K::BYTES);
        self.at += row_bytes;
        Some(Ok((K::from_bytes(key), V::from_bytes(value))))
    }
}

impl<'a, K: Ord + Copy, V: Copy> MergedRows<'a, K, V> {
    fn new(sources: Vec<SortedRows<'a, K, V>>) -> Self {
        // Filled by the first call of `next`, which can fail.
        Self { heads: Vec::with_capacity(sources.len()), sources }
    }
}

impl<K: Ord + Copy, V: Copy> Iterator for MergedRows<'_, K, V> {
    type Item = io::Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.heads.len() < self.sources.len() {
            match self.sources[self.heads.len()].next().transpose() {
                Ok(head) => self.heads.push(head),
                Err(error) => return Some(Err(error)),
            }
        }
        let least = self.heads.iter().flatten().map(|&(key, _)| key).min()?;
        let mut newest = None;
        for (head, source) in self.heads.iter_mut().zip(&mut self.sources) {
            if let Some((key, value)) = *head
                && key == least
            {
                newest = Some(value);
                match source.next().transpose() {
                    Ok(next) => *head = next,
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        newest.map(|value| Ok((least, value)))
    }
}
