//! Bearer tokens, as clients send them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::auth::fuzzing::token(bytes));
