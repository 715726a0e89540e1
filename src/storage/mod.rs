//! Storage: the log, which is the source of truth, and the index, which is derived from it.
//!
//! [`Log`] is the trait; [`LocalLog`] implements it in files of this machine. [`Index`] holds
//! tables that are built from the log: with them a start does not replay the whole log, and old
//! revisions need not stay in memory. An index that does not match its log is rebuilt.
//!
//! Storage never interprets a change: it does not know the rules of follows, posts or feeds.

mod disk_reads;
mod error;
mod folder_lock;
mod free_space;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod local;
mod log;
mod metrics;
mod postgres;
mod redb_file;
mod redb_log;
mod roster;
mod unwritten;

pub use disk_reads::forbid_disk_reads;
pub use error::Error;
pub use free_space::DiskReserve;
pub use index::{
    ExpectedRows, Index, IndexLoss, IndexOptions, IndexRows, IndexView, LoadedRows, OpenedIndex,
    Probe, Residency, Snapshot, StorageFiles, StoredEdge, StoredKey, StoredRequest, TimelineKind,
    probe_index,
};
pub use local::{
    CheckedCopy, CheckedLog, Folder, LocalLog, LogLoad, LogOptions, LogRestore, NotErased,
    RestoredLog, StorageFile, check_events, check_log, has_log, is_copy, read_chain,
};
pub use log::{
    Batch, EraseOutcome, Erasure, Log, LogEntry, LogSize, SegmentInfo, SegmentRead, StoreState,
    Tail, conformance,
};
pub(crate) use metrics::collect;
pub use postgres::{
    CopiedLog, PostgresLog, PostgresRoster, StoreAddress, StoreAddressError, StoreOptions,
    copy_into_store, copy_out_of_store,
};
pub use roster::{NodeRecord, Roster, SharedKeys};
