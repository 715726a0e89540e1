//! The first bytes of a connection, in any protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::server::fuzzing::first_bytes(bytes));
