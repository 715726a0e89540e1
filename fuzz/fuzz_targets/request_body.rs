//! The bodies of requests, as clients send them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::api::fuzzing::request_body(bytes));
