//! Faults: what a machine does to a server, and what it must not cost. Each case breaks something
//! under the built program while users write to it, again and again, and then compares what the server
//! has with a model of what it acknowledged.
//!
//! `cargo test --test faults` is the short form: each case a few times. The long form repeats them
//! many times as often, and writes `docs/faults.md` with what it found:
//!
//! ```sh
//! cargo test --test faults -- --ignored --nocapture long_form
//! ```
//!
//! `WHIMBREL_FAULTS` names the cases to run in the long form, separated by commas: only their rows are
//! written. Some cases need root, a C compiler or a file system of their own. Without it they say loudly
//! that they are skipped, and why.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints for the person who runs it"
)]

mod case;
mod cases;
mod cluster;
mod long_form;
mod machine;
mod model;
mod page;
mod patience;
mod reader;
mod server;
mod shim;
mod short_form;
mod watcher;
mod writer;
