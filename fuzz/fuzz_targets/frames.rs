//! The frames of a connection, as they are counted.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::server::fuzzing::frames(bytes));
