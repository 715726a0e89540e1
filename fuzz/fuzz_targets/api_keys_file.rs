//! Tables of API keys, as they are read from a file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::auth::fuzzing::api_keys_file(bytes));
