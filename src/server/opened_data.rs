//! The data of a server: its log, in the data folder or in PostgreSQL with a copy there, and its index. Never reads an
//! event.

use std::path::Path;
use std::sync::Arc;

use super::Error;
use super::seeding::{self, Seeding};
use super::shared_keys::KeyCopy;
use crate::config::Limits;
use crate::storage::{
    DiskReserve, Index, IndexOptions, LocalLog, Log, LogOptions, OpenedIndex, PostgresLog,
    PostgresRoster, Probe, Roster, StoreOptions, has_log,
};

/// An open log and its index.
#[derive(Debug)]
pub(super) struct OpenedData {
    pub(super) log: Arc<dyn Log>,
    pub(super) index: Option<OpenedIndex>,
    /// What the two leave free on the disk.
    pub(super) reserves: Vec<DiskReserve>,
    /// `None` for a log of this server alone.
    pub(super) shared: Option<SharedData>,
}

/// What nodes share besides the log.
#[derive(Debug)]
pub(super) struct SharedData {
    pub(super) roster: Box<dyn Roster>,
    pub(super) keys: KeyCopy,
}

impl OpenedData {
    /// Opens both in `data_dir`. Blocks the thread.
    pub(super) fn open(
        data_dir: &Path,
        limits: &Limits,
        store: Option<(StoreOptions, Seeding)>,
        probe: Option<Probe>,
    ) -> Result<Self, Error> {
        let disk_free_bytes_min = limits.disk_free_bytes_min;
        let options =
            LogOptions { disk_free_bytes_min, segment_bytes_max: limits.log_segment_bytes_max };
        let (log, reserve, shared) = match store {
            None => {
                let log = LocalLog::open(data_dir, options)?;
                let reserve = log.disk_reserve();
                (Arc::new(log) as Arc<dyn Log>, reserve, None)
            }
            Some((store, seeding)) => {
                let mut roster = PostgresRoster::new(store.clone()).map_err(Error::Workers)?;
                PostgresLog::prepare_once_reached(&store)?;
                if !has_log(data_dir) {
                    seeding::seed(data_dir, &mut roster, &seeding);
                }
                let log = PostgresLog::open(data_dir, options, store)?;
                let reserve = log.disk_reserve();
                let keys = KeyCopy::begin(data_dir, &mut roster)?;
                let shared = SharedData { roster: Box::new(roster), keys };
                (Arc::new(log) as Arc<dyn Log>, reserve, Some(shared))
            }
        };
        let options = IndexOptions { cache_bytes: limits.index_cache_bytes, disk_free_bytes_min };
        let kept = limits.request_id_retention;
        let index = Index::open_with_probe(data_dir, &*log, options, kept, probe)?;
        let reserves = [Some(reserve), index.disk_reserve()].into_iter().flatten().collect();
        Ok(Self { log, index: Some(index), reserves, shared })
    }
}
