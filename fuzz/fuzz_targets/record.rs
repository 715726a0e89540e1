//! Records, as they are read from the log's files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::storage::fuzzing::record(bytes));
