//! Floods: what a hostile client may do to a server, and what it must not reach. Each flood runs
//! against the built program while well-behaved callers go on.
//!
//! `cargo test --test floods` is the short form: it asserts what does not depend on time, so it holds
//! on any machine. The long form measures what the callers notice, and prints a table:
//!
//! ```sh
//! cargo test --release --test floods -- --ignored --nocapture long_form
//! ```
//!
//! `WHIMBREL_FLOODS` names the floods to run, separated by commas, and `WHIMBREL_FLOODED` another program
//! to flood. Attackers run when nobody else does, and callers before the server, which takes `chrt` of
//! util-linux, and the right to use it.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints for the person who runs it"
)]

mod answers;
mod attackers;
mod callers;
mod floods;
mod handshakes;
mod long_form;
mod provider;
mod raw;
mod secured;
mod short_form;
mod target;
mod tokens;
