//! The log and the index: their promises, power cuts, failing disks, damage.

mod check;
mod crash;
mod erase;
mod erase_crash;
mod file_damage;
pub(crate) mod fragile_disk;
pub(crate) mod fragile_folder;
mod index;
mod index_branches;
mod index_bulk;
mod index_damage;
mod index_edges;
mod index_late;
mod index_progress;
mod index_records;
pub(crate) mod index_trouble;
pub(crate) mod local_log;
mod log_damage;
mod log_history;
mod log_records;
mod machine;
mod old_log;
mod postgres;
mod segment_damage;
pub(crate) mod segment_layout;
mod takeover;
pub(crate) mod versions;
