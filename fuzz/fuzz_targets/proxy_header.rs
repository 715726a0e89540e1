//! The PROXY header that a connection of a proxy begins with.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::server::fuzzing::proxy_header(bytes));
