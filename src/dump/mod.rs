//! The log as text: one JSON object for each event, to look at, to keep, or to move to another system and
//! back. Never changes a log: a load makes a new one.
//!
//! ```text
//!   folder ─┐                            ┌─▶ a person, another system
//!           ├─▶ events ─▶ lines of JSON ─┤
//!   server ─┘                            └─▶ load: each line checked against those before ─▶ a new folder
//! ```

mod error;
mod from_server;
mod history;
mod line;
mod load;

pub use error::Error;
pub use from_server::events_of;
pub use line::to_line;
pub use load::{LINE_BYTES_MAX, Load};
