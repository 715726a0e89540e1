//! A sorted list of numbers, each at most once and each with a value, in as few bytes as the list's
//! greatest number and greatest value need.
//!
//! ```text
//!   widths │ number │ value │ number │ value │ …
//!   1 B      1–4 B    0–8 B
//! ```
//!
//! All items of a list have the same size, so that a search is binary. The list has no spare capacity:
//! the allocator's size classes leave room for the next few items. Widths grow with the first item that
//! needs it, and never shrink. An empty list takes no memory.

use std::ops::Range;

/// The bytes before the first item.
const HEAD_BYTES: usize = 1;
/// The bits of the head that have the width of numbers.
const NUMBER_WIDTH_BITS: u8 = 4;

/// A number and its value.
pub(super) type Item = (u32, u64);

/// A sorted list of numbers with values: 16 bytes, and those of the items.
#[derive(Clone, Debug, Default)]
pub(super) struct PackedList(Box<[u8]>);

/// The bytes that each number and each value of a list takes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Widths {
    number: usize,
    value: usize,
}

impl PackedList {
    /// A list of these items, whose numbers rise.
    pub(super) fn from_sorted(items: impl ExactSizeIterator<Item = Item> + Clone) -> Self {
        debug_assert!(items.clone().is_sorted_by(|a, b| a.0 < b.0), "the numbers do not rise");
        let greatest = items.clone().fold((0, 0), |(number, value), item| {
            // Numbers rise: or-ing both gives the widths of the greatest, too.
            (number | item.0, value | item.1)
        });
        Self::with_widths(Widths::of(greatest), items)
    }

    fn with_widths(widths: Widths, items: impl ExactSizeIterator<Item = Item>) -> Self {
        if items.len() == 0 {
            return Self::default();
        }
        let mut bytes = vec![0; HEAD_BYTES + items.len() * widths.sum()].into_boxed_slice();
        bytes[0] = widths.head();
        for (place, item) in bytes[HEAD_BYTES..].chunks_exact_mut(widths.sum()).zip(items) {
            widths.write(place, item);
        }
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        match self.widths() {
            Some(widths) => (self.0.len() - HEAD_BYTES) / widths.sum(),
            None => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the first item.
    ///
    /// # Panics
    /// The list is empty.
    pub(super) fn first(&self) -> u32 {
        let Some(widths) = self.widths() else { panic!("an empty list has no first item") };
        read(&self.0, widths.offset(0), widths.number) as u32
    }

    /// The value of `number`; `None` if it is not in the list.
    pub(super) fn get(&self, number: u32) -> Option<u64> {
        let widths = self.widths()?;
        let index = self.find(widths, number).ok()?;
        Some(read(&self.0, widths.offset(index) + widths.number, widths.value))
    }

    /// The index of the first item with a number of at least `number`.
    pub(super) fn lower_bound(&self, number: u32) -> usize {
        match self.widths() {
            Some(widths) => self.find(widths, number).unwrap_or_else(|index| index),
            None => 0,
        }
    }

    /// All items, by number.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Item> + Clone {
        self.items(0..self.len())
    }

    /// The items at `range`.
    ///
    /// # Panics
    /// The list has fewer items.
    pub(super) fn items(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = Item> + Clone {
        assert!(range.end <= self.len(), "{range:?} is not in a list of {}", self.len());
        let widths = self.widths().unwrap_or(Widths { number: 1, value: 0 });
        range.map(move |index| {
            let offset = widths.offset(index);
            let value = read(&self.0, offset + widths.number, widths.value);
            (read(&self.0, offset, widths.number) as u32, value)
        })
    }

    /// Inserts `number` with `value`, or replaces its value. Returns whether it was absent.
    pub(super) fn insert(&mut self, number: u32, value: u64) -> bool {
        let needed = Widths::of((number, value));
        let Some(widths) = self.widths() else {
            *self = Self::with_widths(needed, std::iter::once((number, value)));
            return true;
        };
        let wider = widths.max(needed);
        if wider != widths {
            *self = Self::with_widths(wider, self.iter());
        }
        let found = self.find(wider, number);
        let (Ok(index) | Err(index)) = found;
        let place = wider.offset(index)..wider.offset(index + 1);
        if found.is_err() {
            let mut bytes = std::mem::take(&mut self.0).into_vec();
            let end = bytes.len();
            bytes.reserve_exact(place.len());
            bytes.resize(end + place.len(), 0);
            bytes.copy_within(place.start..end, place.end);
            self.0 = bytes.into_boxed_slice();
        }
        wider.write(&mut self.0[place], (number, value));
        found.is_err()
    }

    /// Removes `number`, and frees its memory. Returns whether it was present.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let Some(widths) = self.widths() else { return false };
        let Ok(index) = self.find(widths, number) else { return false };
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.drain(widths.offset(index)..widths.offset(index + 1));
        if bytes.len() > HEAD_BYTES {
            self.0 = bytes.into_boxed_slice();
        }
        true
    }

    /// `None` for an empty list.
    fn widths(&self) -> Option<Widths> {
        self.0.first().map(|&head| Widths::from_head(head))
    }

    /// The index of `number`, or the index at which to insert it.
    fn find(&self, widths: Widths, number: u32) -> Result<usize, usize> {
        let (mut low, mut high) = (0, (self.0.len() - HEAD_BYTES) / widths.sum());
        while low < high {
            let middle = low.midpoint(high);
            let found = read(&self.0, widths.offset(middle), widths.number) as u32;
            match found.cmp(&number) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

impl Widths {
    /// The widths that `item` needs. A number takes at least a byte, so that each item has a size.
    fn of((number, value): Item) -> Self {
        let bytes = |value: u64| (u64::BITS - value.leading_zeros()).div_ceil(u8::BITS) as usize;
        Self { number: bytes(number.into()).max(1), value: bytes(value) }
    }

    fn from_head(head: u8) -> Self {
        let number = head & ((1 << NUMBER_WIDTH_BITS) - 1);
        Self { number: number.into(), value: (head >> NUMBER_WIDTH_BITS).into() }
    }

    /// Both fit: a number has at most 4 bytes, and a value at most 8.
    fn head(self) -> u8 {
        self.number as u8 | (self.value as u8) << NUMBER_WIDTH_BITS
    }

    fn max(self, other: Self) -> Self {
        Self { number: self.number.max(other.number), value: self.value.max(other.value) }
    }

    fn sum(self) -> usize {
        self.number + self.value
    }

    /// The offset of the item at `index`.
    fn offset(self, index: usize) -> usize {
        HEAD_BYTES + index * self.sum()
    }

    fn write(self, place: &mut [u8], (number, value): Item) {
        place[..self.number].copy_from_slice(&number.to_le_bytes()[..self.number]);
        place[self.number..].copy_from_slice(&value.to_le_bytes()[..self.value]);
    }
}

/// The little-endian number in the `width` bytes at `offset`, at most 8.
fn read(bytes: &[u8], offset: usize, width: usize) -> u64 {
    let from = &bytes[offset..];
    match from.first_chunk() {
        // One load, of which the bytes after the number are dropped, is faster than a loop.
        Some(&word) => {
            let mask = u64::MAX.checked_shr(u64::BITS - u8::BITS * width as u32).unwrap_or(0);
            u64::from_le_bytes(word) & mask
        }
        None => from[..width].iter().rev().fold(0, |rest, &byte| rest << 8 | u64::from(byte)),
    }
}
