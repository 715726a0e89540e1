//! What a start loads from an index, without a state that it is loaded into.

use whimbrel::storage::{Index, LoadedRows, Log, OpenedIndex};

/// The index, and all rows that a start loads.
pub(crate) fn load_index(opened: OpenedIndex, log: &dyn Log) -> (Index, Vec<LoadedRows>) {
    opened.load(log, |_| Vec::new(), Vec::push).unwrap()
}
