//! Entry point for the fuzzer in `fuzz/`: takes any bytes and panics where a promise about a
//! connection's first bytes is broken. Never part of a server: behind the feature `fuzzing`.

use super::socket::{PREFACE, other_than_http2};

/// What a client speaks is known by its first bytes, at the latest when there are as many as the
/// preface has, and does not depend on how the network cuts them.
pub fn first_bytes(bytes: &[u8]) {
    let mut known = None;
    for count in 1..=bytes.len().min(PREFACE.len()) {
        let other = other_than_http2(&bytes[..count]);
        assert!(known.is_none() || other == known, "{known:?} becomes {other:?}");
        known = other;
    }
    if bytes.len() >= PREFACE.len() {
        assert_eq!(known.is_none(), bytes.starts_with(PREFACE), "{known:?}");
    }
}
