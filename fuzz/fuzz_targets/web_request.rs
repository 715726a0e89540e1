//! Requests in Connect and gRPC-Web, and for server-sent events, as clients send them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whimbrel::api::fuzzing::web_request(bytes));
