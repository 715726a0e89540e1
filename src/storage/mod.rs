//! Storage: the log, which is the truth, and the index, which is made from it.
//!
//! [`Log`] is the trait, and [`LocalLog`] its implementation in a file of this machine. Beside it
//! stands the [`Index`]: tables made from the log, so that a start need not read all of it and old
//! revisions need not be in memory. It is never the truth: it is rebuilt whenever it does not fit.
//!
//! Nothing here knows what the changes mean.

mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod local;
mod log;
mod reading;
mod redb_file;
mod space;

pub use error::Error;
pub use index::{
    Index, IndexContents, IndexLoss, IndexRows, OpenedIndex, Probe, Residency, Snapshot,
    StoredEdge, StoredKey, StoredRequest, TimelineKind, probe_index,
};
pub use local::{Files, LocalLog, Options};
pub use log::{Batch, EraseOutcome, Erasure, Log, LogEntry, Tail, conformance};
pub use reading::forbid_reading;
