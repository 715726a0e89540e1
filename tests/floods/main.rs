//! Floods: what a hostile client may do to a server, and what it must not reach. Each flood runs
//! against the built program while well-behaved callers go on.
//!
//! `cargo test --test floods` is the short form: it asserts what does not depend on time, so it holds
//! on any machine. The long form measures what the callers notice, and prints a table:
//!
//! ```sh
//! cargo build --release
//! WHIMBREL_FLOODED=target/release/whimbrel \
//!     cargo test --test floods -- --ignored --nocapture long_form
//! ```

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints for the person who runs it"
)]

mod callers;
mod floods;
mod long_form;
mod raw;
mod short_form;
mod target;
