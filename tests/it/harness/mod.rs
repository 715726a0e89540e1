//! The tools of the tests: servers in this process, users who call them, and checks of every call
//! and every stream.
//!
//! Nothing here sleeps and hopes. Every wait has a name, and ends with a panic that says it.

pub(crate) mod admin;
mod altered_log;
pub(crate) mod blocks;
pub(crate) mod collector;
pub(crate) mod core;
mod counted_disk;
pub(crate) mod disk;
pub(crate) mod events;
mod gate;
mod held_log;
mod hooked_log;
pub(crate) mod http;
mod ids;
mod loaded;
mod log_lines;
mod memory_folder;
mod pages;
mod patience;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod reader;
mod refusal;
pub(crate) mod scripted;
mod server;
pub(crate) mod tls;
mod user;
pub(crate) mod watching;
pub(crate) mod wire;

pub(crate) use altered_log::{Alter, AlteredLog};
pub(crate) use counted_disk::CountedDisk;
pub(crate) use disk::Disk;
pub(crate) use gate::Gate;
pub(crate) use held_log::Valve;
pub(crate) use hooked_log::HookedLog;
pub(crate) use ids::{id_at, one_later, with_revision, without_epoch};
pub(crate) use loaded::load_index;
pub(crate) use log_lines::LogLines;
pub(crate) use memory_folder::{INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder};
pub(crate) use pages::Feed;
pub(crate) use patience::{PATIENCE, eventually, within};
pub(crate) use refusal::refused;
pub(crate) use server::{Setup, TestServer, connect, copy_folder};
pub(crate) use user::User;
pub(crate) use watching::event_in_short;
