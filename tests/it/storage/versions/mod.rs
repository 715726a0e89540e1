//! Data folders and backups of earlier programs, as they are kept here: each is opened by this program and
//! answers as before, or is refused without a change. See README.md.

mod answers;
pub(crate) mod fixtures;
mod formats;
mod opened;
mod refused;
mod taken;
