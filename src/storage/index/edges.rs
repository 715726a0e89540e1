//! The table of follows: for each follower a few blocks of edges, sorted by followee. A start reads all
//! of them, so a row has many. Never looks at what else is in the index.
//!
//! ```text
//!   (follower 7, 0)   ──▶ followee, since │ followee, since │ …   all followees below 812
//!   (follower 7, 812) ──▶ followee, since │ …                     all others
//!                         4 B       8 B
//! ```
//!
//! The key of a block is the least followee that may be in it, so the block of an edge is the last one
//! whose key is not greater.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

use redb::{ReadableTable, Table, TableDefinition};

/// (follower, least followee) → block.
pub(super) const EDGES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("edges");

/// (follower, followee).
pub(super) type Key = (u32, u32);

/// Bytes of an edge in a block.
const EDGE_BYTES: usize = 12;
/// Most edges of a block: it fits into a page of redb (4,096 bytes), with its key.
const BLOCK_EDGES_MAX: usize = 256;

/// A block that is changed.
#[derive(Debug)]
struct OpenBlock {
    key: Key,
    /// The key of the follower's next block.
    end: Option<u32>,
    /// Followee → since.
    edges: BTreeMap<u32, u64>,
}

/// The revision of the edge; `None` if there is none.
pub(super) fn get(
    table: &impl ReadableTable<Key, &'static [u8]>,
    pair: Key,
) -> Result<Option<u64>, redb::Error> {
    let Some((key, block)) = block_of(table, pair)? else { return Ok(None) };
    let mut edges = decode(key, &block)?;
    Ok(edges.find(|&(followee, _)| followee == pair.1).map(|(_, since)| since))
}

/// Sets the edges of an empty table; `sorted`, those without a revision are left out. `added` takes each
/// edge with its revision.
pub(super) fn fill(
    table: &mut Table<'_, Key, &'static [u8]>,
    sorted: impl Iterator<Item = io::Result<(Key, Option<u64>)>>,
    mut added: impl FnMut(Key, u64),
) -> Result<(), redb::Error> {
    let mut end = table.upper_bound_mut(Bound::<Key>::Unbounded)?;
    let mut open: Option<OpenBlock> = None;
    for row in sorted {
        let (pair, Some(since)) = row? else { continue };
        added(pair, since);
        if open.as_ref().is_some_and(|block| block.key.0 != pair.0)
            && let Some(done) = open.take()
        {
            done.rows(|key, block| Ok(end.insert_before(key, block)?))?;
        }
        let block = open.get_or_insert_with(|| OpenBlock::new(pair.0));
        block.edges.insert(pair.1, since);
    }
    if let Some(done) = open {
        done.rows(|key, block| Ok(end.insert_before(key, block)?))?;
    }
    end.close()?;
    Ok(())
}

/// Sets edges, or removes those without a revision; `changes` rise. `changed` takes each edge with its
/// revision before and after.
pub(super) fn put(
    table: &mut Table<'_, Key, &'static [u8]>,
    changes: impl Iterator<Item = io::Result<(Key, Option<u64>)>>,
    mut changed: impl FnMut(Key, Option<u64>, Option<u64>),
) -> Result<(), redb::Error> {
    let mut open: Option<OpenBlock> = None;
    for change in changes {
        let (pair, since) = change?;
        let block = match open.take() {
            Some(block) if block.takes(pair) => open.insert(block),
            left => {
                if let Some(left) = left {
                    left.write(table)?;
                }
                open.insert(OpenBlock::of(table, pair)?)
            }
        };
        let before = match since {
            Some(since) => block.edges.insert(pair.1, since),
            None => block.edges.remove(&pair.1),
        };
        changed(pair, before, since);
    }
    open.map_or(Ok(()), |block| block.write(table))
}

/// Passes all edges to `each`, sorted by follower and followee. Fails at the first that is not where
/// [`get`] finds it, and at the first error of `each`.
pub(super) fn all(
    table: &impl ReadableTable<Key, &'static [u8]>,
    mut each: impl FnMut(Key, u64) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut last = None;
    for row in table.iter()? {
        let (key, block) = row?;
        let key = key.value();
        for (followee, since) in decode(key, block.value())? {
            let pair = (key.0, followee);
            if last.is_some_and(|last| last >= pair) || pair < key {
                return Err(out_of_order());
            }
            last = Some(pair);
            each(pair, since)?;
        }
        if last.is_some_and(|last| last < key) {
            return Err(out_of_order());
        }
    }
    Ok(())
}

impl OpenBlock {
    /// The first block of a follower without any.
    fn new(follower: u32) -> Self {
        Self { key: (follower, 0), end: None, edges: BTreeMap::new() }
    }

    /// The block of `pair`, which is empty if its follower has none.
    fn of(table: &Table<'_, Key, &'static [u8]>, pair: Key) -> Result<Self, redb::Error> {
        let (key, edges) = match block_of(table, pair)? {
            Some((key, block)) => (key, decode(key, &block)?.collect()),
            None => ((pair.0, 0), BTreeMap::new()),
        };
        let next = match pair.1.checked_add(1) {
            Some(above) => table.range((pair.0, above)..=(pair.0, u32::MAX))?.next().transpose()?,
            None => None,
        };
        Ok(Self { key, end: next.map(|(key, _)| key.value().1), edges })
    }

    /// Whether `pair`, which is not less than the last one, belongs into the block.
    fn takes(&self, pair: Key) -> bool {
        debug_assert!(pair >= self.key, "changes rise");
        pair.0 == self.key.0 && self.end.is_none_or(|end| pair.1 < end)
    }

    fn write(self, table: &mut Table<'_, Key, &'static [u8]>) -> Result<(), redb::Error> {
        if self.edges.is_empty() {
            table.remove(self.key)?;
            return Ok(());
        }
        self.rows(|key, block| {
            table.insert(key, block)?;
            Ok(())
        })
    }

    /// Passes its rows to `each`: several if it has grown too much.
    fn rows(
        self,
        mut each: impl FnMut(Key, &[u8]) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let blocks = self.edges.len().div_ceil(BLOCK_EDGES_MAX);
        let edges_max = self.edges.len().div_ceil(blocks);
        let mut edges = self.edges.into_iter().peekable();
        let mut key = self.key;
        while edges.peek().is_some() {
            let mut block = Vec::with_capacity(edges_max * EDGE_BYTES);
            for (followee, since) in edges.by_ref().take(edges_max) {
                block.extend(followee.to_le_bytes());
                block.extend(since.to_le_bytes());
            }
            each(key, &block)?;
            if let Some(&(followee, _)) = edges.peek() {
                key.1 = followee;
            }
        }
        Ok(())
    }
}

/// The block that has `pair` if any has, and its key.
fn block_of(
    table: &impl ReadableTable<Key, &'static [u8]>,
    pair: Key,
) -> Result<Option<(Key, Vec<u8>)>, redb::Error> {
    let found = table.range((pair.0, 0)..=pair)?.next_back().transpose()?;
    Ok(found.map(|(key, block)| (key.value(), block.value().to_vec())))
}

fn decode(key: Key, block: &[u8]) -> Result<impl Iterator<Item = (u32, u64)>, redb::Error> {
    let (edges, rest) = block.as_chunks::<EDGE_BYTES>();
    if !rest.is_empty() || edges.is_empty() || edges.len() > BLOCK_EDGES_MAX {
        let what = format!("the follows of user {} have {} bytes", key.0, block.len());
        return Err(redb::Error::Corrupted(what));
    }
    Ok(edges.iter().map(|&[a, b, c, d, ref since @ ..]| {
        (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(*since))
    }))
}

fn out_of_order() -> redb::Error {
    redb::Error::Corrupted("its follows are out of order".to_owned())
}
